//! Attention: every query's mean of the values, weighted by how well the keys match.

mod kernel;
mod narrow;
mod shape;
mod staged;
mod wide;

pub(super) use kernel::variants;
pub(super) use narrow::AttentionParams;
pub(super) use wide::{PackWeightParams, SoftmaxParams};

pub use self::shape::{AttentionShape, Bias, Heads};

use self::kernel::{Kernel, kernel};
use self::shape::{OP, Part};
use super::columns::columns;
use crate::error::RecordError;
use crate::record::{Recorder, Tensor};
use crate::tensor::DType;

/// `softmax(scale q k^T + bias) v`, head by head.
///
/// | tensor | shape | dtype |
/// |---|---|---|
/// | q | [Lq, ..], H D columns of it | f32, D a multiple of 4 |
/// | k, v | [Lk, ..], H D columns of each | f32 |
/// | result | [Lq, H D] | f32 |
///
/// The scores are never stored: memory does not grow with Lq Lk. Queries and heads are split over
/// dispatches where one would run too long or a window would exceed the device's binding limit,
/// and where the keys or values themselves exceed it, some heads of them at a time are copied
/// together. The order of every sum over the keys stays the same.
///
/// # Errors
/// Shapes that do not match; keys of one head larger than one binding.
pub fn attention(
    rec: &mut Recorder<'_>,
    q: Heads<'_>,
    k: Heads<'_>,
    v: Heads<'_>,
    shape: AttentionShape,
    bias: Bias<'_>,
) -> Result<Tensor, RecordError> {
    let AttentionShape {
        heads, head_size, ..
    } = shape;
    if head_size == 0 || head_size % 4 != 0 {
        let expected = "a multiple of 4";
        return Err(RecordError::Size {
            op: OP,
            name: "head size",
            found: head_size,
            expected,
        });
    }
    let width = heads * head_size;
    let [queries, keys] = [q.tensor.shape.rows(), k.tensor.shape.rows()];
    for (name, part, rows) in [("q", q, queries), ("k", k, keys), ("v", v, keys)] {
        let columns = part.tensor.shape.last_dim();
        let aligned = part.first % 4 == 0 && columns % 4 == 0;
        let inside = part.first + width <= columns && part.tensor.shape.rows() == rows;
        if !aligned || !inside || !matches!(part.tensor.dtype, DType::F32 | DType::F16) {
            let expected = format!(
                "f32 or f16 [{rows}, {}] or wider, in steps of 4",
                part.first + width
            );
            return Err(RecordError::Shape {
                op: OP,
                name,
                found: part.tensor.shape,
                expected,
            });
        }
    }
    if keys == 0 {
        return Err(RecordError::Size {
            op: OP,
            name: "Lk",
            found: 0,
            expected: "at least one key",
        });
    }
    bias.check([queries, keys, heads])?;
    let [q, k, v] = of_one_type(rec, [q, k, v], width)?;
    let kernel = kernel(rec.caps(), &shape, queries);
    if kernel != Kernel::Wide {
        return narrow::record_all(rec, kernel, [q, k, v], (shape, bias));
    }
    if heads != 1 || head_size % 8 != 0 {
        return Err(RecordError::Size {
            op: OP,
            name: "head size",
            found: head_size,
            expected: "at most 128, or a single head and a multiple of 8",
        });
    }
    wide::record(rec, [q, k, v], shape, bias)
}

/// q, k and v in one element type: copies of those that differ.
fn of_one_type(
    rec: &mut Recorder<'_>,
    parts: [Heads<'_>; 3],
    width: usize,
) -> Result<[Part; 3], RecordError> {
    let first = parts[0].tensor.dtype;
    let same = parts.iter().all(|part| part.tensor.dtype == first);
    let dtype = if same {
        first
    } else {
        rec.caps().activations()
    };
    let [q, k, v] = parts.map(|part| {
        if part.tensor.dtype == dtype {
            Ok(Part::from(part))
        } else {
            Ok(Part {
                tensor: columns(rec, part.tensor, part.first, width, dtype)?,
                first: 0,
            })
        }
    });
    Ok([q?, k?, v?])
}
