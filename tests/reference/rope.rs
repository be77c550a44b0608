//! Twin of `affine/rope.wgsl`, from the angles themselves.

/// Turns pair i of each head of x [t h w, heads, d] by its token's position along the pair's axis.
pub fn rope(
    x: &[f64],
    tokens: [usize; 3],
    heads: usize,
    pairs: [usize; 3],
    theta: f64,
) -> Vec<f64> {
    let d = 2 * (pairs[0] + pairs[1] + pairs[2]);
    let mut y = x.to_vec();
    let mut row = 0;
    for t in 0..tokens[0] {
        for h in 0..tokens[1] {
            for w in 0..tokens[2] {
                for head in 0..heads {
                    let mut at = (row * heads + head) * d;
                    for (position, n) in [t, h, w].into_iter().zip(pairs) {
                        for i in 0..n {
                            let angle =
                                position as f64 / theta.powf(2.0 * i as f64 / (2 * n) as f64);
                            let (a, b) = (x[at], x[at + 1]);
                            y[at] = a * angle.cos() - b * angle.sin();
                            y[at + 1] = a * angle.sin() + b * angle.cos();
                            at += 2;
                        }
                    }
                }
                row += 1;
            }
        }
    }
    y
}
