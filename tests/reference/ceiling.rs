//! Chains of multiply-adds, and sums of one product.

/// `rounds` times four multiply-adds in each of twelve chains, summed.
pub fn fma(x: &[f32], rounds: u32, [scale, shift]: [f32; 2]) -> Vec<f64> {
    let chain =
        |start: f64| (0..4 * rounds).fold(start, |s, _| s * f64::from(scale) + f64::from(shift));
    let element = |&x: &f32| (0..12).map(|c| chain(f64::from(x) + f64::from(c))).sum();
    x.iter().map(element).collect()
}

/// `rounds` times `x w^T`, x and w [4 edge, edge], `groups` times.
pub fn coop(x: &[f32], w: &[f32], edge: usize, groups: usize, rounds: u32) -> Vec<f64> {
    let mut once = Vec::new();
    for row in x.chunks(edge) {
        for column in w.chunks(edge) {
            let products = row
                .iter()
                .zip(column)
                .map(|(&a, &b)| f64::from(a) * f64::from(b));
            once.push(f64::from(rounds) * products.sum::<f64>());
        }
    }
    once.repeat(groups)
}
