//! Chains of multiply-adds.

/// `rounds` times four multiply-adds in each of twelve chains, summed.
pub fn fma(x: &[f32], rounds: u32, [scale, shift]: [f32; 2]) -> Vec<f64> {
    let chain =
        |start: f64| (0..4 * rounds).fold(start, |s, _| s * f64::from(scale) + f64::from(shift));
    let element = |&x: &f32| (0..12).map(|c| chain(f64::from(x) + f64::from(c))).sum();
    x.iter().map(element).collect()
}
