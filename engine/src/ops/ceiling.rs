//! Kernels that measure a device's peak rates, each doing one thing only, for benches.

use super::params::params;
use super::split::lanes;
use super::tiles::subgroup_lanes;
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

params! {
    /// Params of `ceiling_coop.wgsl`.
    CoopParams for "ceiling_coop" {
        groups: u32,
        rounds: u32,
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

/// Edge of the matrices and the variant, where the device has cooperative matrices.
fn coop_variant(caps: &Caps) -> Option<(usize, Variant)> {
    let edge = caps.cooperative.last().copied().filter(|_| caps.f16)?;
    let variant = Variant::new("ceiling_coop")
        .coop(edge)
        .tile("LANES", subgroup_lanes(caps)?);
    Some((edge as usize, variant))
}

pub(super) fn variants(caps: &Caps) -> Vec<Variant> {
    let coop = coop_variant(caps).map(|(_, variant)| variant);
    [copy_variant(caps), fma_variant(caps)]
        .into_iter()
        .chain(coop)
        .collect()
}

/// Edge E of the matrices that [`coop`] multiplies on a device; `None` where there are none.
pub fn coop_edge(caps: &Caps) -> Option<usize> {
    coop_variant(caps).map(|(edge, _)| edge)
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
    if !count.is_multiple_of(4) || x.dtype != DType::F32 {
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

/// `rounds` times the product `x w^T` on cooperative matrices, summed, and that `groups` times: the
/// rate of tensor cores.
///
/// | tensor | shape | dtype |
/// |---|---|---|
/// | x, w | [4 E, E], E from [`coop_edge`] | f16 |
/// | result | [G, 4 E, 4 E] | f32 |
///
/// # Errors
/// Shapes that do not match, or more groups than one binding holds.
pub fn coop(
    rec: &mut Recorder<'_>,
    x: &Tensor,
    w: &Tensor,
    groups: usize,
    rounds: u32,
) -> Result<Tensor, RecordError> {
    const OP: &str = "ceiling_coop";
    let known = coop_variant(rec.caps());
    let edge = known.as_ref().map_or(0, |(edge, _)| *edge);
    for (name, tensor) in [("x", x), ("w", w)] {
        if *tensor.shape != [4 * edge, edge] || tensor.dtype != DType::F16 {
            let expected = format!("f16 [{}, {edge}]", 4 * edge);
            return Err(RecordError::Shape {
                op: OP,
                name,
                found: tensor.shape,
                expected,
            });
        }
    }
    let y = rec.intermediate(OP, [groups, 4 * edge, 4 * edge], DType::F32);
    if let Some((_, variant)) = known {
        rec.dispatch(OP, variant)
            .read(1, x)
            .read(2, w)
            .write(3, &y)
            .params(&CoopParams {
                groups: groups as u32,
                rounds,
            })
            .flops(coop_flops(edge, groups, rounds))
            .launch_folded(groups)?;
    }
    Ok(y)
}

/// Floating-point operations of [`coop`].
pub fn coop_flops(edge: usize, groups: usize, rounds: u32) -> u64 {
    2 * 16 * edge.pow(3) as u64 * groups as u64 * u64::from(rounds)
}

/// Floating-point operations of [`fma`].
pub fn fma_flops(count: usize, rounds: u32) -> u64 {
    FMA_FLOPS * u64::from(rounds) * count as u64
}
