//! Sums of two tensors.

use super::params::params;
use super::split::{lanes, rows_per_dispatch};
use crate::error::RecordError;
use crate::record::{Caps, Recorder, Tensor};
use crate::shader::Variant;
use crate::tensor::DType;

params! {
    /// Params of `add.wgsl`.
    AddParams for "add" {
        count4: u32,
    }
}

fn variant(caps: &Caps, dtype: DType) -> Variant {
    Variant::new("add")
        .set("LANES", lanes(caps))
        .input(dtype)
        .output(dtype)
}

pub(super) fn variants(caps: &Caps) -> Vec<Variant> {
    [DType::F32, DType::F16]
        .map(|dtype| variant(caps, dtype))
        .to_vec()
}

/// `y = a + b`.
///
/// | tensor | shape | dtype |
/// |---|---|---|
/// | a, b | [.., C], C a multiple of 4 | f32, f16, both the same |
/// | result | as a | as a |
///
/// # Errors
/// Shapes or types that do not match.
pub fn add(rec: &mut Recorder<'_>, a: &Tensor, b: &Tensor) -> Result<Tensor, RecordError> {
    const OP: &str = "add";
    let (rows, cols) = (a.shape.rows(), a.shape.last_dim());
    if !matches!(a.dtype, DType::F32 | DType::F16) || !cols.is_multiple_of(4) {
        return Err(RecordError::Shape {
            op: OP,
            name: "a",
            found: a.shape,
            expected: "f32 or f16, its columns a multiple of 4".to_owned(),
        });
    }
    if a.shape != b.shape || a.dtype != b.dtype {
        return Err(RecordError::Shape {
            op: OP,
            name: "b",
            found: b.shape,
            expected: format!("{} {}, as a", a.dtype, a.shape),
        });
    }
    let y = rec.intermediate(OP, a.shape, a.dtype);
    let caps = rec.caps();
    let (variant, lanes) = (variant(caps, a.dtype), lanes(caps) as usize);
    let row = cols * a.dtype.size();
    let chunk = rows_per_dispatch(caps, rows, cols, cols as u64);
    for first in (0..rows).step_by(chunk) {
        let count = chunk.min(rows - first);
        let window = (first * row) as u64..((first + count) * row) as u64;
        let count4 = count * cols / 4;
        rec.dispatch(OP, variant.clone())
            .read_window(1, a, window.clone())
            .read_window(2, b, window.clone())
            .write_window(3, &y, window)
            .params(&AddParams {
                count4: count4 as u32,
            })
            .flops((count * cols) as u64)
            .launch_folded(count4.div_ceil(lanes))?;
    }
    Ok(y)
}
