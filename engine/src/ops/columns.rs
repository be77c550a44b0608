//! Some columns of a tensor, as a tensor.

use super::params::params;
use super::split::{lanes, rows_per_dispatch};
use crate::error::RecordError;
use crate::record::{Caps, Recorder, Tensor};
use crate::shader::Variant;
use crate::tensor::DType;

params! {
    /// Params of `columns.wgsl`.
    ColumnsParams for "columns" {
        count4: u32,
        cols4: u32,
        first4: u32,
        stride4: u32,
    }
}

fn variant(caps: &Caps, input: DType, output: DType) -> Variant {
    Variant::new("columns")
        .set("LANES", lanes(caps))
        .input(input)
        .output(output)
}

pub(super) fn variants(caps: &Caps) -> Vec<Variant> {
    let types = [DType::F32, DType::F16];
    types
        .into_iter()
        .flat_map(|input| types.map(|output| variant(caps, input, output)))
        .collect()
}

/// Columns `first .. first + count` of x.
///
/// | tensor | shape | dtype |
/// |---|---|---|
/// | x | [M, ..], its columns, `first` and `count` multiples of 4 | f32, f16 |
/// | result | [M, count] | `dtype`: f32, f16 |
///
/// # Errors
/// Columns that x has not.
pub fn columns(
    rec: &mut Recorder<'_>,
    x: &Tensor,
    first: usize,
    count: usize,
    dtype: DType,
) -> Result<Tensor, RecordError> {
    const OP: &str = "columns";
    let [rows, stride] = [x.shape.rows(), x.shape.last_dim()];
    let aligned = [stride, first, count].iter().all(|size| size % 4 == 0);
    if !aligned || first + count > stride || !matches!(x.dtype, DType::F32 | DType::F16) {
        let expected = format!("f32 or f16 [_, {} or more], in steps of 4", first + count);
        return Err(RecordError::Shape {
            op: OP,
            name: "x",
            found: x.shape,
            expected,
        });
    }
    let y = rec.intermediate(OP, [rows, count], dtype);
    let variant = variant(rec.caps(), x.dtype, dtype);
    let lanes = lanes(rec.caps()) as usize;
    let chunk = rows_per_dispatch(rec.caps(), rows, stride, count as u64);
    for row in (0..rows).step_by(chunk) {
        let some = chunk.min(rows - row);
        let window = |bytes: usize| (row * bytes) as u64..((row + some) * bytes) as u64;
        let count4 = some * count / 4;
        rec.dispatch(OP, variant.clone())
            .read_window(1, x, window(stride * x.dtype.size()))
            .write_window(2, &y, window(count * dtype.size()))
            .params(&ColumnsParams {
                count4: count4 as u32,
                cols4: (count / 4) as u32,
                first4: (first / 4) as u32,
                stride4: (stride / 4) as u32,
            })
            .flops((some * count) as u64)
            .launch_folded(count4.div_ceil(lanes))?;
    }
    Ok(y)
}
