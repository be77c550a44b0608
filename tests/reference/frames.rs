//! Twins of `push_frames`, `crop_lines.wgsl`, `dup_up.wgsl` and `avg_down.wgsl`.

/// The last `remembered` frames of `past` followed by `x`.
pub fn push_frames(past: &[f32], x: &[f32], remembered: usize, frame: usize) -> Vec<f32> {
    let all = [past, x].concat();
    all[all.len() - remembered * frame..].to_vec()
}

/// The lines `start .. start + lines` of each frame of `x [t, h, w, c]`.
pub fn crop_lines(x: &[f32], [t, h, w, c]: [usize; 4], start: usize, lines: usize) -> Vec<f32> {
    let mut y = Vec::new();
    for frame in 0..t {
        for line in start..start + lines {
            let first = (frame * h + line) * w * c;
            y.extend_from_slice(&x[first..first + w * c]);
        }
    }
    y
}

/// The term added to `y [t f - drop, 2 h, 2 w, n]`, computed from `x [t, h, w, c]` like the reference:
/// channels are repeated, viewed as `[n, f, 2, 2]` and moved to time, line and column.
pub fn dup_up(x: &[f32], [t, h, w, c]: [usize; 4], n: usize, f: usize, drop: usize) -> Vec<f64> {
    let repeats = n * f * 4 / c;
    let mut y = vec![0.0; t * f * 2 * h * 2 * w * n];
    for frame in 0..t {
        for i in 0..h {
            for j in 0..w {
                for repeated in 0..c * repeats {
                    let value = x[((frame * h + i) * w + j) * c + repeated / repeats];
                    let (b, a) = (repeated % 2, repeated / 2 % 2);
                    let (time, feature) = (repeated / 4 % f, repeated / 4 / f);
                    let place = ((frame * f + time) * 2 * h + 2 * i + a) * 2 * w + 2 * j + b;
                    y[place * n + feature] = f64::from(value);
                }
            }
        }
    }
    y.split_off(drop * 2 * h * 2 * w * n)
}

/// The term added to `y [t / ft, h / fs, w / fs, n]`, computed from `x [t, h, w, c]` with zeros before it
/// like the reference: positions move into channels, and neighbouring channels are averaged.
pub fn avg_down(x: &[f32], [t, h, w, c]: [usize; 4], n: usize, [ft, fs]: [usize; 2]) -> Vec<f64> {
    let padded = t.next_multiple_of(ft);
    let pad = padded - t;
    let (lines, columns) = (h / fs, w / fs);
    let values = c * ft * fs * fs;
    let mut y = vec![0.0; padded / ft * lines * columns * n];
    for frame in 0..t {
        for i in 0..h {
            for j in 0..w {
                for channel in 0..c {
                    let (time, at) = ((frame + pad) % ft, (frame + pad) / ft);
                    let moved = ((channel * ft + time) * fs + i % fs) * fs + j % fs;
                    let place = (at * lines + i / fs) * columns + j / fs;
                    let value = x[((frame * h + i) * w + j) * c + channel];
                    y[place * n + moved / (values / n)] +=
                        f64::from(value) * n as f64 / values as f64;
                }
            }
        }
    }
    y
}
