//! Twins of `norm.wgsl`: a layer norm without its `affine`, an RMS norm.

/// `(x - mean) / sqrt(variance + eps)` over rows of `cols`.
pub fn layer_norm(x: &[f32], cols: usize, eps: f64) -> Vec<f64> {
    let mut y = Vec::new();
    for row in x.chunks(cols) {
        let mean = row.iter().map(|&v| f64::from(v)).sum::<f64>() / cols as f64;
        let variance = row
            .iter()
            .map(|&v| (f64::from(v) - mean).powi(2))
            .sum::<f64>()
            / cols as f64;
        y.extend(
            row.iter()
                .map(|&v| (f64::from(v) - mean) / (variance + eps).sqrt()),
        );
    }
    y
}

/// `gain x / sqrt(mean(x^2) + eps)` over rows as long as `gain`.
pub fn rms_norm(x: &[f32], gain: &[f32], eps: f64) -> Vec<f64> {
    let cols = gain.len();
    let mut y = Vec::new();
    for row in x.chunks(cols) {
        let mean = row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / cols as f64;
        let scaled = |(&v, &g): (&f32, &f32)| f64::from(g) * f64::from(v) / (mean + eps).sqrt();
        y.extend(row.iter().zip(gain).map(scaled));
    }
    y
}
