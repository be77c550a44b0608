//! The timestep's way into a transformer: its sinusoids, silu, and each block's modulation.

use super::params::params;
use super::split::lanes;
use super::window::aligned_rows;
use crate::error::RecordError;
use crate::record::{Caps, Recorder, Tensor};
use crate::shader::Variant;
use crate::tensor::DType;

params! {
    /// Params of `silu.wgsl`.
    SiluParams for "silu" {
        count: u32,
    }
}

params! {
    /// Params of `modulation.wgsl`.
    ModulationParams for "modulation" {
        count: u32,
        cols: u32,
        distinct: u32,
        apart: u32,
        temb_stride: u32,
        temb_step: u32,
    }
}

fn variant(caps: &Caps, kernel: &'static str) -> Variant {
    Variant::new(kernel).set("LANES", lanes(caps))
}

pub(super) fn variants(caps: &Caps) -> Vec<Variant> {
    vec![variant(caps, "silu"), variant(caps, "modulation")]
}

/// The sinusoidal embedding of timesteps, [D, width]: the cosines of `t 10000^(-i / n)` for
/// i = 0 .. n, n = width / 2, then the sines (diffusers' `Timesteps` with `flip_sin_to_cos` and no
/// shift).
///
/// The reference rounds frequency and angle to f32, at t = 1000 an error of up to 3e-5, and the
/// model was trained with it: so does this. Only the cosine and sine are in f64.
pub fn timestep_sinusoids(timesteps: &[f32], width: usize) -> Vec<f32> {
    let half = width / 2;
    let angle = |t: f32, i: usize| {
        let exponent = -(10_000f64.ln() as f32) * i as f32 / half as f32;
        f64::from(t * f64::from(exponent).exp() as f32)
    };
    let mut rows = Vec::with_capacity(timesteps.len() * 2 * half);
    for &t in timesteps {
        rows.extend((0..half).map(|i| angle(t, i).cos() as f32));
        rows.extend((0..half).map(|i| angle(t, i).sin() as f32));
    }
    rows
}

/// `x / (1 + exp(-x))`, element by element, of a small tensor: at most one binding.
///
/// # Errors
/// Another element type than f32; a tensor larger than one binding.
pub fn silu(rec: &mut Recorder<'_>, x: &Tensor) -> Result<Tensor, RecordError> {
    const OP: &str = "silu";
    if x.dtype != DType::F32 {
        let expected = "f32".to_owned();
        return Err(RecordError::Shape {
            op: OP,
            name: "x",
            found: x.shape,
            expected,
        });
    }
    let count = x.shape.count();
    let y = rec.intermediate(OP, x.shape, DType::F32);
    let variant = variant(rec.caps(), "silu");
    let lanes = lanes(rec.caps()) as usize;
    rec.dispatch(OP, variant)
        .read(1, x)
        .write(2, &y)
        .params(&SiluParams {
            count: count as u32,
        })
        .flops(8 * count as u64)
        .launch_folded(count.div_ceil(lanes))?;
    Ok(y)
}

/// `table[r, C] + temb[D, r C ..]` for each of the N rows of the table: the tensors that modulate a
/// block, in one dispatch.
///
/// | tensor | shape | dtype |
/// |---|---|---|
/// | table | [.., N, C] | f32 |
/// | temb | [D, N C], or [D, C]: the same for every row | f32 |
/// | results | N times [D, C] | f32 |
///
/// # Errors
/// Shapes that do not match.
pub fn modulation<const N: usize>(
    rec: &mut Recorder<'_>,
    table: &Tensor,
    temb: &Tensor,
) -> Result<[Tensor; N], RecordError> {
    const OP: &str = "modulation";
    let cols = table.shape.last_dim();
    if table.shape.rows() != N {
        return Err(RecordError::Shape {
            op: OP,
            name: "table",
            found: table.shape,
            expected: format!("[{N}, C]"),
        });
    }
    let [distinct, stride] = [temb.shape.rows(), temb.shape.last_dim()];
    if (stride != N * cols && stride != cols) || temb.dtype != DType::F32 {
        return Err(RecordError::Shape {
            op: OP,
            name: "temb",
            found: temb.shape,
            expected: format!("f32 [D, {}] or [D, {cols}]", N * cols),
        });
    }
    let count = N * distinct * cols;
    let apart = distinct.next_multiple_of(aligned_rows(rec.caps(), cols));
    let y = rec.intermediate(OP, [N * apart, cols], DType::F32);
    let variant = variant(rec.caps(), "modulation");
    let lanes = lanes(rec.caps()) as usize;
    rec.dispatch(OP, variant)
        .read(1, table)
        .read(2, temb)
        .write(3, &y)
        .params(&ModulationParams {
            count: count as u32,
            cols: cols as u32,
            distinct: distinct as u32,
            apart: apart as u32,
            temb_stride: stride as u32,
            temb_step: if stride == cols { 0 } else { cols as u32 },
        })
        .flops(count as u64)
        .launch_folded(count.div_ceil(lanes))?;
    let mut each = [y; N];
    for (number, tensor) in each.iter_mut().enumerate() {
        *tensor = y.view_rows(number * apart, distinct)?;
    }
    Ok(each)
}
