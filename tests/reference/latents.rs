//! Twins of `denormalise.wgsl` and `rgb8.wgsl`.

/// `x [c, p]` times `deviation [c]` plus `mean [c]`, as `[p, c]`.
pub fn denormalise(x: &[f32], deviation: &[f32], mean: &[f32]) -> Vec<f64> {
    let (channels, pixels) = (mean.len(), x.len() / mean.len());
    let mut y = Vec::new();
    for p in 0..pixels {
        for c in 0..channels {
            let value = f64::from(x[c * pixels + p]);
            y.push(value * f64::from(deviation[c]) + f64::from(mean[c]));
        }
    }
    y
}

/// `x [t, h, w, 3 p p]`, each in a range and clamped to it, as bytes `[t, p h, p w, 3]`; the
/// channels of a patch go along its lines or along its columns.
pub fn rgb8(
    x: &[f32],
    [t, h, w]: [usize; 3],
    p: usize,
    by_lines: bool,
    [black, white]: [f32; 2],
) -> Vec<u8> {
    let mut y = vec![0; x.len()];
    for frame in 0..t {
        for i in 0..h {
            for j in 0..w {
                for colour in 0..3 {
                    for b in 0..p {
                        for a in 0..p {
                            let channel = match by_lines {
                                true => (colour * p + a) * p + b,
                                false => (colour * p + b) * p + a,
                            };
                            let value = x[((frame * h + i) * w + j) * 3 * p * p + channel];
                            let shade = ((value - black) / (white - black)).clamp(0.0, 1.0) * 255.0;
                            let place = (frame * p * h + p * i + a) * p * w + p * j + b;
                            y[place * 3 + colour] = shade.round_ties_even() as u8;
                        }
                    }
                }
            }
        }
    }
    y
}
