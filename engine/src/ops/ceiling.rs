//! What a device can do at most: kernels that do one thing and nothing else, for benches.

use super::matmul::lanes;
use super::params::params;
use crate::error::RecordError;
use crate::record::{Caps, Recorder, Tensor};
use crate::shader::Variant;
use crate::tensor::DType;

params! {
    /// Params of `ceiling_copy.wgsl`.
    CopyParams for "ceiling_copy" {
        count4: u32,
    }
}

params! {
    /// Params of `ceiling_fma.wgsl`.
    FmaParams for "ceiling_fma" {
        count: u32,
        rounds: u32,
        scale: f32,
        shift: f32,
    }
}

/// Floating-point operations of one round of `ceiling_fma.wgsl` for one element.
const FMA_FLOPS: u64 = 2 * 4 * 12;

fn copy_variant(caps: &Caps) -> Variant {
    Variant::new("ceiling_copy").set("LANES", lanes(caps))
}

fn fma_variant(caps: &Caps) -> Variant {
    Variant::new("ceiling_fma").set("LANES", lanes(caps))
}

pub(super) fn variants(caps: &Caps) -> Vec<Variant> {
    vec![copy_variant(caps), fma_variant(caps)]
}

/// A copy of x: the bandwidth of memory, read and written.
///
/// | tensor | shape | dtype |
/// |---|---|---|
/// | x | any, a multiple of 4 elements | f32 |
/// | result | as x | f32 |
///
/// # Errors
/// Another number of elements, or more than one binding holds.
pub fn copy(rec: &mut Recorder<'_>, x: &Tensor) -> Result<Tensor, RecordError> {
    const OP: &str = "ceiling_copy";
    let count = x.shape.count();
    if count % 4 != 0 || x.dtype != DType::F32 {
        let expected = "f32, a multiple of 4 elements".to_owned();
        return Err(RecordError::Shape {
            op: OP,
            name: "x",
            found: x.shape,
            expected,
        });
    }
    let y = rec.intermediate(OP, x.shape, DType::F32);
    let variant = copy_variant(rec.caps());
    let lanes = lanes(rec.caps()) as usize;
    rec.dispatch(OP, variant)
        .read(1, x)
        .write(2, &y)
        .params(&CopyParams {
            count4: (count / 4) as u32,
        })
        .launch_folded((count / 4).div_ceil(lanes))?;
    Ok(y)
}

/// `rounds` times four multiply-adds `s scale + shift` in each of twelve chains an element, which
/// start at `x + 0 … x + 11`; the result is their sum. The rate of f32 arithmetic.
///
/// | tensor | shape | dtype |
/// |---|---|---|
/// | x | any | f32 |
/// | result | as x | f32 |
///
/// # Errors
/// More elements than one binding holds.
pub fn fma(
    rec: &mut Recorder<'_>,
    x: &Tensor,
    rounds: u32,
    [scale, shift]: [f32; 2],
) -> Result<Tensor, RecordError> {
    const OP: &str = "ceiling_fma";
    let count = x.shape.count();
    let y = rec.intermediate(OP, x.shape, DType::F32);
    let variant = fma_variant(rec.caps());
    let lanes = lanes(rec.caps()) as usize;
    rec.dispatch(OP, variant)
        .read(1, x)
        .write(2, &y)
        .params(&FmaParams {
            count: count as u32,
            rounds,
            scale,
            shift,
        })
        .flops(fma_flops(count, rounds))
        .launch_folded(count.div_ceil(lanes))?;
    Ok(y)
}

/// Floating-point operations of [`fma`].
pub fn fma_flops(count: usize, rounds: u32) -> u64 {
    FMA_FLOPS * u64::from(rounds) * count as u64
}
