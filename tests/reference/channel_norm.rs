//! Twin of `channel_norm.wgsl`.

use super::matmul;

/// Each row of `x [rows, c]` to length `sqrt(c)`, times `gain [c]`, then SiLU or not.
pub fn channel_norm(x: &[f32], gain: &[f32], silu: bool) -> Vec<f64> {
    let c = gain.len();
    let mut y = Vec::new();
    for row in x.chunks(c) {
        let length = row
            .iter()
            .map(|&v| f64::from(v).powi(2))
            .sum::<f64>()
            .sqrt();
        for (&value, &gain) in row.iter().zip(gain) {
            let value = f64::from(value) / length.max(1e-12) * (c as f64).sqrt() * f64::from(gain);
            y.push(if silu { matmul::silu(value) } else { value });
        }
    }
    y
}
