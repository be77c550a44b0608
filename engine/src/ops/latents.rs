//! The two ends of a decoder: latents in, 8-bit pictures out.

use super::params::params;
use super::split::lanes;
use super::window::window;
use crate::error::RecordError;
use crate::record::{Caps, Recorder, Tensor};
use crate::shader::{Slot, Variant};
use crate::tensor::DType;

params! {
    /// Params of `denormalise.wgsl`.
    DenormaliseParams for "denormalise" {
        pixels: u32,
        channels: u32,
    }
}

params! {
    /// Params of `rgb8.wgsl`.
    Rgb8Params for "rgb8" {
        words: u32,
        bytes: u32,
        byte_base: u32,
        height: u32,
        width: u32,
        patch_size: u32,
        line_step: u32,
        column_step: u32,
        gain: f32,
        shift: f32,
        x_base: u32,
    }
}

fn variant(caps: &Caps, kernel: &'static str) -> Variant {
    Variant::new(kernel).set("LANES", lanes(caps))
}

pub(super) fn variants(caps: &Caps) -> Vec<Variant> {
    let denormalise = variant(caps, "denormalise");
    vec![
        denormalise.clone(),
        denormalise.slot(Slot::Activation, SOFT_CLAMP),
        variant(caps, "rgb8"),
    ]
}

/// `y = 3 tanh(x / 3)`.
const SOFT_CLAMP: &str = "soft_clamp";

/// How a decoder's values become pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pixels {
    /// Pixels along a side of the square that one position holds.
    pub patch_size: usize,
    /// Whether the channels of a patch go along its lines, as in `torch.nn.PixelShuffle`, or along
    /// its columns, as in Wan's `unpatchify`.
    pub by_lines: bool,
    /// The values of black and white.
    pub range: [f32; 2],
}

/// `y = x deviation + mean`, and channels last: latents from the sampler's space to the decoder's;
/// with `soft_clamp` then `y = 3 tanh(y / 3)`.
///
/// | tensor | shape | dtype |
/// |---|---|---|
/// | x | [C, T, H, W] | f32 |
/// | statistics | [2, C]: deviations, means | f32 |
/// | y | [T, H, W, C] | f32 |
///
/// # Errors
/// Shapes that do not match; latents larger than one binding.
pub fn denormalise(
    rec: &mut Recorder<'_>,
    x: &Tensor,
    statistics: &Tensor,
    soft_clamp: bool,
) -> Result<Tensor, RecordError> {
    const OP: &str = "denormalise";
    let [channels, t, h, w] = x.dims(OP, "x")?;
    if *statistics.shape != [2, channels] {
        let expected = format!("[2, {channels}] to match x {}", x.shape);
        return Err(RecordError::Shape {
            op: OP,
            name: "statistics",
            found: statistics.shape,
            expected,
        });
    }
    let y = rec.intermediate(OP, [t, h, w, channels], DType::F32);
    let caps = rec.caps();
    let count = y.shape.count();
    let plain = variant(caps, "denormalise");
    let variant = if soft_clamp {
        plain.slot(Slot::Activation, SOFT_CLAMP)
    } else {
        plain
    };
    rec.dispatch(OP, variant)
        .read(1, x)
        .read(2, statistics)
        .write(3, &y)
        .params(&DenormaliseParams {
            pixels: (t * h * w) as u32,
            channels: channels as u32,
        })
        .flops(2 * count as u64)
        .launch_folded(count.div_ceil(lanes(caps) as usize))?;
    Ok(y)
}

/// `y = round(255 clamp(gain x + shift, 0, 1))` as bytes, halves to even numbers, patches laid out
/// as pixels. For [`Pixels`] of Wan's decoders: diffusers' `unpatchify`, its image processor's
/// denormalisation (`x / 2 + 1 / 2`) and `numpy_to_pil`.
///
/// | tensor | shape | dtype |
/// |---|---|---|
/// | x | [T, H, W, 3 P²] | f32 |
/// | y | [T P H P W 3 / 4, rounded up], four bytes a word | u32 |
///
/// # Errors
/// Channels that are not 3 P²; a `y` of another shape.
pub fn rgb8(
    rec: &mut Recorder<'_>,
    x: &Tensor,
    pixels: Pixels,
    into: Option<&Tensor>,
) -> Result<Tensor, RecordError> {
    const OP: &str = "rgb8";
    let Pixels {
        patch_size,
        by_lines,
        range: [black, white],
    } = pixels;
    let gain = 1.0 / (white - black);
    let (line_step, column_step) = if by_lines {
        (patch_size, 1)
    } else {
        (1, patch_size)
    };
    let [t, h, w, channels] = x.dims(OP, "x")?;
    if channels != 3 * patch_size * patch_size {
        let expected = "3 patch_size²";
        return Err(RecordError::Size {
            op: OP,
            name: "channels",
            found: channels,
            expected,
        });
    }
    let bytes = x.shape.count();
    let words = bytes.div_ceil(4);
    let y = match into {
        Some(y) if y.shape.count() == words && y.dtype == DType::U32 => *y,
        Some(y) => {
            let expected = format!("u32 [{words}] to match x {}", x.shape);
            return Err(RecordError::Shape {
                op: OP,
                name: "y",
                found: y.shape,
                expected,
            });
        }
        None => rec.intermediate(OP, [words], DType::U32),
    };
    let caps = rec.caps();
    // Lines of patches per dispatch: as many as fit both windows, in multiples of 256 so that the bytes
    // start at every device's alignment.
    let line = w * channels;
    let lines = t * h;
    let by_binding = (caps.max_binding_bytes / 4 / line.max(1) as u64).min(1 << 30) as usize;
    let chunk = if lines <= by_binding {
        lines.max(1)
    } else {
        (by_binding / 256 * 256).max(256)
    };
    for first in (0..lines).step_by(chunk) {
        let count = chunk.min(lines - first);
        let from = window(caps, x, first * line..(first + count) * line);
        let bytes = count * line;
        let start = (first * line) as u64;
        rec.dispatch(OP, variant(caps, "rgb8"))
            .read_window(1, x, from.bytes)
            .write_window(2, &y, start..(start + bytes as u64).next_multiple_of(4))
            .params(&Rgb8Params {
                words: bytes.div_ceil(4) as u32,
                bytes: bytes as u32,
                byte_base: (first * line) as u32,
                height: (h * patch_size) as u32,
                width: (w * patch_size) as u32,
                patch_size: patch_size as u32,
                line_step: line_step as u32,
                column_step: column_step as u32,
                gain,
                shift: -black * gain,
                x_base: from.base,
            })
            .flops(4 * bytes as u64)
            .launch_folded(bytes.div_ceil(4).div_ceil(lanes(caps) as usize))?;
    }
    Ok(y)
}
