//! Twin of `conv3d.wgsl`.

/// Extents of a convolution.
#[derive(Clone, Copy)]
pub struct Conv {
    pub frames: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    pub features: usize,
    /// Frames, lines and columns of the kernel.
    pub kernel: [usize; 3],
    /// Positions from one to the next, in time and in space.
    pub strides: [usize; 2],
}

/// `x [t, h, w, c]` with the frames `past [kt - st, h, w, c]` before it, convolved with
/// `w [n, c, kt, kh, kw]`: `[t / st, h / s, w / s, n]`. Zeros surround the pictures; with a
/// stride in space they are only below and to the right.
pub fn conv3d(x: &[f32], past: &[f32], w: &[f32], conv: Conv) -> Vec<f64> {
    let Conv {
        frames,
        height,
        width,
        channels,
        features,
        kernel: [kt, kh, kw],
        strides: [stride_t, stride],
    } = conv;
    let [above, left] = match stride {
        1 => [kh / 2, kw / 2],
        _ => [0, 0],
    };
    let (out_lines, out_columns) = (height / stride, width / stride);
    let all = [past, x].concat();
    let mut y = vec![0.0; frames / stride_t * out_lines * out_columns * features];
    for t in 0..frames / stride_t {
        for i in 0..out_lines {
            for j in 0..out_columns {
                for n in 0..features {
                    let out = &mut y[((t * out_lines + i) * out_columns + j) * features + n];
                    for c in 0..channels {
                        for dt in 0..kt {
                            for di in 0..kh {
                                for dj in 0..kw {
                                    let (i, j) = (i * stride + di, j * stride + dj);
                                    if i < above
                                        || i - above >= height
                                        || j < left
                                        || j - left >= width
                                    {
                                        continue;
                                    }
                                    let frame = t * stride_t + dt;
                                    let place = (frame * height + i - above) * width + j - left;
                                    let weight =
                                        w[(((n * channels + c) * kt + dt) * kh + di) * kw + dj];
                                    *out +=
                                        f64::from(all[place * channels + c]) * f64::from(weight);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    y
}

/// Every pixel as four: `x [t, h, w, c]` as `[t, 2 h, 2 w, c]`.
pub fn upsample(x: &[f32], t: usize, h: usize, w: usize, c: usize) -> Vec<f32> {
    let mut y = Vec::new();
    for frame in 0..t {
        for i in 0..2 * h {
            for j in 0..2 * w {
                let place = (frame * h + i / 2) * w + j / 2;
                y.extend(&x[place * c..(place + 1) * c]);
            }
        }
    }
    y
}

/// Frames out of channels: `y [t, p, f n]` as `[f t, p, n]`, p pixels a frame.
pub fn fold(y: &[f64], t: usize, p: usize, folds: usize, n: usize) -> Vec<f64> {
    let mut out = Vec::new();
    for frame in 0..t {
        for fold in 0..folds {
            for pixel in 0..p {
                let first = ((frame * p + pixel) * folds + fold) * n;
                out.extend(&y[first..first + n]);
            }
        }
    }
    out
}
