//! Latents to tokens and back.

use super::params::params;
use super::split::{lanes, rows_per_dispatch};
use crate::error::RecordError;
use crate::record::{Caps, Recorder, Tensor};
use crate::shader::Variant;
use crate::tensor::DType;

params! {
    /// Params of `patchify.wgsl` and `unpatchify.wgsl`.
    PatchParams for "patchify" {
        count: u32,
        row_base: u32,
        channels: u32,
        frames: u32,
        height: u32,
        width: u32,
        patch_h: u32,
        patch_w: u32,
    }
}

const PATCHIFY: &str = "patchify";
const UNPATCHIFY: &str = "unpatchify";

fn variant(caps: &Caps, kernel: &'static str) -> Variant {
    Variant::new(kernel).set("LANES", lanes(caps))
}

pub(super) fn variants(caps: &Caps) -> Vec<Variant> {
    vec![variant(caps, PATCHIFY), variant(caps, UNPATCHIFY)]
}

/// Tokens of a grid of patches, and the columns of each.
fn tokens(
    op: &'static str,
    latents: [usize; 4],
    patch: [usize; 2],
) -> Result<[usize; 2], RecordError> {
    let ([c, t, h, w], [p, q]) = (latents, patch);
    for (name, size, patch) in [("H", h, p), ("W", w, q)] {
        if patch == 0 || size % patch != 0 {
            let expected = "a multiple of the patch";
            return Err(RecordError::Size {
                op,
                name,
                found: size,
                expected,
            });
        }
    }
    Ok([t * (h / p) * (w / q), c * p * q])
}

/// Cuts each frame of the latents into patches of P by Q, a row each.
///
/// | tensor | shape | dtype |
/// |---|---|---|
/// | latents | [C, T, H, W] | f32, H and W multiples of P and Q |
/// | result | [T H/P W/Q, C P Q] | f32, columns in the order (C, P, Q) |
///
/// # Errors
/// Sizes that the patch does not divide; latents larger than one binding.
pub fn patchify(
    rec: &mut Recorder<'_>,
    latents: &Tensor,
    patch: [usize; 2],
) -> Result<Tensor, RecordError> {
    const OP: &str = PATCHIFY;
    let [c, t, h, w] = latents.dims(OP, "latents")?;
    let [rows, cols] = tokens(OP, [c, t, h, w], patch)?;
    let y = rec.intermediate(OP, [rows, cols], DType::F32);
    record(rec, OP, latents, &y, patch)?;
    Ok(y)
}

/// Puts patches back into frames, into `latents`.
///
/// | tensor | shape | dtype |
/// |---|---|---|
/// | x | [T H/P W/Q, P Q C] | f32, columns in the order (P, Q, C) |
/// | latents | [C, T, H, W] | f32, written |
///
/// # Errors
/// Shapes that do not match; latents larger than one binding.
pub fn unpatchify(
    rec: &mut Recorder<'_>,
    x: &Tensor,
    patch: [usize; 2],
    latents: &Tensor,
) -> Result<(), RecordError> {
    const OP: &str = UNPATCHIFY;
    let [c, t, h, w] = latents.dims(OP, "latents")?;
    let [rows, cols] = tokens(OP, [c, t, h, w], patch)?;
    if x.shape.rows() != rows || x.shape.last_dim() != cols || x.dtype != DType::F32 {
        let expected = format!("f32 [{rows}, {cols}] to match latents {}", latents.shape);
        return Err(RecordError::Shape {
            op: OP,
            name: "x",
            found: x.shape,
            expected,
        });
    }
    record(rec, OP, latents, x, patch)
}

/// Records either kernel: each reads and writes the latents whole, the other side in rows.
fn record(
    rec: &mut Recorder<'_>,
    op: &'static str,
    latents: &Tensor,
    tokens: &Tensor,
    patch: [usize; 2],
) -> Result<(), RecordError> {
    let [channels, frames, height, width] = latents.dims(op, "latents")?.map(|d| d as u32);
    let [rows, cols] = [tokens.shape.rows(), tokens.shape.last_dim()];
    let variant = variant(rec.caps(), op);
    let lanes = lanes(rec.caps()) as usize;
    let chunk = rows_per_dispatch(rec.caps(), rows, cols, cols as u64);
    for first in (0..rows).step_by(chunk) {
        let count = chunk.min(rows - first);
        let window = (first * cols * 4) as u64..((first + count) * cols * 4) as u64;
        let builder = rec.dispatch(op, variant.clone());
        let builder = match op {
            PATCHIFY => builder.read(1, latents).write_window(2, tokens, window),
            _ => builder.read_window(1, tokens, window).write(2, latents),
        };
        builder
            .params(&PatchParams {
                count: (count * cols) as u32,
                row_base: first as u32,
                channels,
                frames,
                height,
                width,
                patch_h: patch[0] as u32,
                patch_w: patch[1] as u32,
            })
            .flops((count * cols) as u64)
            .launch_folded((count * cols).div_ceil(lanes))?;
    }
    Ok(())
}
