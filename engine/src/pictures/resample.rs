//! Pictures of other sizes: Pillow's filters on 8 bits, and PyTorch's bicubic without antialiasing.
//!
//! Pillow (`Image.resize`) weighs every pixel that the filter reaches, stretched by how much smaller
//! the result is, in fixed point: along the lines and along the columns, each rounded to 8 bits.
//! Weights are the filter's at the pixels' centres, made to sum to one. Which comes first shows where
//! sums leave the 8 bits in between: Pillow 13 goes along the columns first where that leaves much
//! less to do along the lines, by a rule that was found by trying; the versions before never do.
//!
//! Sources: Pillow's `Resample.c`, PyTorch's `upsample_bicubic2d`, for what they compute.

use std::f64::consts::PI;

/// How a picture is made larger or smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// `PIL.Image.Resampling.LANCZOS`: three lobes.
    Lanczos,
    /// `PIL.Image.Resampling.BICUBIC`: Keys' with a = −1/2.
    Bicubic,
}

impl Filter {
    /// How far it reaches, in pixels of the coarser picture.
    fn support(self) -> f64 {
        match self {
            Self::Lanczos => 3.0,
            Self::Bicubic => 2.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        match self {
            Self::Lanczos if x.abs() < 3.0 => sinc(x) * sinc(x / 3.0),
            Self::Lanczos => 0.0,
            Self::Bicubic => keys(x, -0.5),
        }
    }
}

fn sinc(x: f64) -> f64 {
    match x * PI {
        0.0 => 1.0,
        x => x.sin() / x,
    }
}

/// Keys' cubic convolution (1981) with its one parameter.
fn keys(x: f64, a: f64) -> f64 {
    let x = x.abs();
    match x {
        x if x < 1.0 => ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0,
        x if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * a,
        _ => 0.0,
    }
}

/// Fraction bits of a weight: the most that keep a sum of products with 8-bit values within 32 bits.
const FRACTION: u32 = 32 - 8 - 2;

/// What an output pixel is the weighted sum of.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

/// The taps of each of `to` pixels of a line of `from`.
fn taps(from: usize, to: usize, filter: Filter) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    let stretched = scale.max(1.0);
    let support = filter.support() * stretched;
    let of = |at: usize| {
        let center = (at as f64 + 0.5) * scale;
        // As in C, a negative bound is cut off toward zero.
        let first = ((center - support + 0.5) as i64).max(0) as usize;
        let end = ((center + support + 0.5) as i64).min(from as i64) as usize;
        let weight = |pixel: usize| filter.weight((pixel as f64 - center + 0.5) / stretched);
        let weights: Vec<f64> = (first..end).map(weight).collect();
        let sum: f64 = weights.iter().sum();
        let fixed = |weight: &f64| {
            let weight = if sum == 0.0 { *weight } else { weight / sum };
            let shifted = weight * f64::from(1 << FRACTION);
            (shifted + 0.5_f64.copysign(weight)) as i32
        };
        Taps {
            first,
            weights: weights.iter().map(fixed).collect(),
        }
    };
    (0..to).map(of).collect()
}

fn rounded(sum: i32) -> u8 {
    (sum >> FRACTION).clamp(0, 255) as u8
}

/// An RGB picture `rgb`, [height, width, 3], of the size `from` [width, height], at the size `to`, as
/// `PIL.Image.resize` with `filter` makes it. A picture that already has the size is not touched.
#[must_use]
pub fn resample(rgb: &[u8], from: [usize; 2], to: [usize; 2], filter: Filter) -> Vec<u8> {
    let ([width, height], [new_width, new_height]) = (from, to);
    let saved = |from: usize, to: usize| from as i64 - to as i64;
    let columns_first =
        new_height < height && 2 * saved(width, new_width) < saved(height, new_height);
    match columns_first {
        false => {
            let across = along_lines(rgb, width, new_width, filter);
            along_columns(&across, new_width, [height, new_height], filter)
        }
        true => {
            let down = along_columns(rgb, width, [height, new_height], filter);
            along_lines(&down, width, new_width, filter)
        }
    }
}

/// Lines of `width` pixels at `new_width`.
fn along_lines(rgb: &[u8], width: usize, new_width: usize, filter: Filter) -> Vec<u8> {
    if width == new_width {
        return rgb.to_vec();
    }
    let taps = taps(width, new_width, filter);
    let mut out = Vec::with_capacity(rgb.len() / width * new_width);
    for line in rgb.chunks_exact(width * 3) {
        for tap in &taps {
            let mut sum = [1 << (FRACTION - 1); 3];
            let pixels = line[tap.first * 3..].chunks_exact(3);
            for (pixel, &weight) in pixels.zip(&tap.weights) {
                for (sum, &value) in sum.iter_mut().zip(pixel) {
                    *sum += i32::from(value) * weight;
                }
            }
            out.extend(sum.map(rounded));
        }
    }
    out
}

/// Columns of lines of `width` pixels, `height` of them, at `new_height`.
fn along_columns(
    rgb: &[u8],
    width: usize,
    [height, new_height]: [usize; 2],
    filter: Filter,
) -> Vec<u8> {
    if height == new_height {
        return rgb.to_vec();
    }
    let line = width * 3;
    let mut out = Vec::with_capacity(new_height * line);
    let mut sums = vec![0; line];
    for tap in taps(height, new_height, filter) {
        sums.fill(1 << (FRACTION - 1));
        let lines = rgb[tap.first * line..].chunks_exact(line);
        for (values, &weight) in lines.zip(&tap.weights) {
            for (sum, &value) in sums.iter_mut().zip(values) {
                *sum += i32::from(value) * weight;
            }
        }
        out.extend(sums.iter().map(|&sum| rounded(sum)));
    }
    out
}

/// Pixels [height, width, 3] of the size `from` [width, height] at the size `to`, as
/// `torch.nn.functional.interpolate` with `mode="bicubic"` makes them: a = −3/4, four taps whatever
/// the size, so that fine detail of a larger picture aliases; results may leave the range of the values.
#[must_use]
pub fn stretch_plain(pixels: &[f32], from: [usize; 2], to: [usize; 2]) -> Vec<f32> {
    let ([width, height], [new_width, new_height]) = (from, to);
    // The four pixels and their weights.
    let taps = |from: usize, to: usize| -> Vec<[(usize, f32); 4]> {
        let scale = from as f32 / to as f32;
        let of = |at: usize| {
            let place = scale * (at as f32 + 0.5) - 0.5;
            let first = place.floor();
            let part = f64::from(place - first);
            std::array::from_fn(|tap| {
                let pixel = (first as i64 + tap as i64 - 1).clamp(0, from as i64 - 1);
                let weight = keys(part + 1.0 - tap as f64, -0.75);
                (pixel as usize, weight as f32)
            })
        };
        (0..to).map(of).collect()
    };
    let (columns, lines) = (taps(width, new_width), taps(height, new_height));
    let mut across = Vec::with_capacity(new_width * height * 3);
    for line in pixels.chunks_exact(width * 3).take(height) {
        for taps in &columns {
            for colour in 0..3 {
                let sum = taps
                    .iter()
                    .map(|&(at, weight)| line[at * 3 + colour] * weight);
                across.push(sum.sum::<f32>());
            }
        }
    }
    let line = new_width * 3;
    let mut out = Vec::with_capacity(new_height * line);
    for taps in &lines {
        for value in 0..line {
            let sum = taps
                .iter()
                .map(|&(at, weight)| across[at * line + value] * weight);
            out.push(sum.sum::<f32>());
        }
    }
    out
}
