//! The normalisation of Wan's autoencoder.

use super::params::params;
use super::reduce::{Team, reduce};
use super::split::{lanes, rows_per_dispatch};
use crate::error::RecordError;
use crate::record::{Caps, DeviceClass, Recorder, Tensor};
use crate::shader::{Slot, Variant};
use crate::tensor::DType;

params! {
    /// Params of `channel_norm.wgsl`.
    ChannelNormParams for "channel_norm" {
        rows: u32,
        channels: u32,
        scale: f32,
    }
}

/// Invocations that share a pixel: on GPUs enough to read a pixel's channels contiguously; on software
/// devices one, which needs no barrier.
fn team(caps: &Caps) -> u32 {
    match caps.class {
        DeviceClass::Software => 1,
        _ => 32,
    }
}

fn variant(caps: &Caps, silu: bool) -> Variant {
    let variant = reduce(
        Variant::new("channel_norm"),
        caps,
        Team::of_neighbours(lanes(caps), team(caps)),
    );
    if silu {
        variant.slot(Slot::Activation, "silu")
    } else {
        variant
    }
}

pub(super) fn variants(caps: &Caps) -> Vec<Variant> {
    vec![variant(caps, false), variant(caps, true)]
}

/// `y = x / max(|x|, 1e-12) sqrt(C) gain`, |x| the length of a pixel's channels, then SiLU if
/// `silu`: diffusers' `WanRMS_norm`.
///
/// | tensor | shape | dtype |
/// |---|---|---|
/// | x | [.., C] | f32 |
/// | gain | `[C]`, ones behind it or not | f32 |
/// | y | as x | f32 |
///
/// # Errors
/// Shapes that do not match.
pub fn channel_norm(
    rec: &mut Recorder<'_>,
    x: &Tensor,
    gain: &Tensor,
    silu: bool,
) -> Result<Tensor, RecordError> {
    const OP: &str = "channel_norm";
    let (rows, channels) = (x.shape.rows(), x.shape.last_dim());
    if gain.shape.count() != channels || gain.dtype != DType::F32 {
        let expected = format!("f32 [{channels}] to match x {}", x.shape);
        return Err(RecordError::Shape {
            op: OP,
            name: "gain",
            found: gain.shape,
            expected,
        });
    }
    let y = rec.intermediate(OP, x.shape, DType::F32);
    let caps = rec.caps();
    let flops_a_row = 6 * channels as u64;
    let chunk = rows_per_dispatch(caps, rows, channels, flops_a_row);
    for first in (0..rows).step_by(chunk) {
        let count = chunk.min(rows - first);
        let window = (first * channels * 4) as u64..((first + count) * channels * 4) as u64;
        rec.dispatch(OP, variant(caps, silu))
            .read_window(1, x, window.clone())
            .read(2, gain)
            .write_window(3, &y, window)
            .params(&ChannelNormParams {
                rows: count as u32,
                channels: channels as u32,
                scale: (channels as f32).sqrt(),
            })
            .flops(flops_a_row * count as u64)
            .launch_folded(count.div_ceil((lanes(caps) / team(caps)) as usize))?;
    }
    Ok(y)
}
