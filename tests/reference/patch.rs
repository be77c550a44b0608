//! Twins of `patchify.wgsl` and `unpatchify.wgsl`.

/// Latents [c, t, h, w] to tokens [t h/p w/q, c p q].
pub fn patchify(x: &[f32], [c, t, h, w]: [usize; 4], [p, q]: [usize; 2]) -> Vec<f64> {
    let mut y = Vec::new();
    for frame in 0..t {
        for top in (0..h).step_by(p) {
            for left in (0..w).step_by(q) {
                for channel in 0..c {
                    for a in 0..p {
                        for b in 0..q {
                            let at = ((channel * t + frame) * h + top + a) * w + left + b;
                            y.push(f64::from(x[at]));
                        }
                    }
                }
            }
        }
    }
    y
}

/// Tokens [t h/p w/q, p q c] to latents [c, t, h, w].
pub fn unpatchify(x: &[f32], [c, t, h, w]: [usize; 4], [p, q]: [usize; 2]) -> Vec<f64> {
    let mut y = vec![0.0; c * t * h * w];
    let mut values = x.iter();
    for frame in 0..t {
        for top in (0..h).step_by(p) {
            for left in (0..w).step_by(q) {
                for a in 0..p {
                    for b in 0..q {
                        for channel in 0..c {
                            let at = ((channel * t + frame) * h + top + a) * w + left + b;
                            y[at] = values.next().map_or(f64::NAN, |&v| f64::from(v));
                        }
                    }
                }
            }
        }
    }
    y
}
