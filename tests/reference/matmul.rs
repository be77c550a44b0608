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

/// `x / 2 (1 + erf(x / sqrt(2)))`, erf by its series and, where that would cancel, by the continued
/// fraction of its complement.
pub fn gelu_erf(x: f64) -> f64 {
    let z = x.abs() / std::f64::consts::SQRT_2;
    let two_over_root_pi = std::f64::consts::FRAC_2_SQRT_PI;
    let erf = if z < 3.0 {
        let (mut term, mut sum) = (z, z);
        for n in 1..200 {
            term *= -z * z / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        two_over_root_pi * sum
    } else {
        let fraction = (1..200)
            .rev()
            .fold(z, |below, n| z + f64::from(n) / 2.0 / below);
        1.0 - two_over_root_pi / 2.0 * (-z * z).exp() / fraction
    };
    0.5 * x * (1.0 + erf.copysign(x))
}

/// `x / (1 + exp(-1.702 x))`
pub fn quick_gelu(x: f64) -> f64 {
    x / (1.0 + (-1.702 * x).exp())
}

/// `x / (1 + exp(-x))`
pub fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}
