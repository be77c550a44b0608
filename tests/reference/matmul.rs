//! Twin of `matmul.wgsl` and of the `epilogue` modules.

/// `x [m, k]` times `w [n, k]` transposed.
pub fn matmul(x: &[f32], w: &[f32], m: usize, n: usize, k: usize) -> Vec<f64> {
    let mut y = vec![0.0; m * n];
    for row in 0..m {
        for col in 0..n {
            for i in 0..k {
                y[row * n + col] += f64::from(x[row * k + i]) * f64::from(w[col * k + i]);
            }
        }
    }
    y
}

/// `x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`
pub fn gelu_tanh(x: f64) -> f64 {
    let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
    0.5 * x * (1.0 + inner.tanh())
}

/// `x / (1 + exp(-x))`
pub fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}
