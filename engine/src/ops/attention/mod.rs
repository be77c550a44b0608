//! Attention: every query's mean of the values, weighted by how well the keys match.

mod kernel;
mod narrow;
mod staged;
mod wide;

pub(super) use kernel::variants;
pub(super) use narrow::AttentionParams;
pub(super) use wide::{PackWeightParams, SoftmaxParams};

use self::kernel::{Kernel, kernel};
use super::columns::columns;
use crate::error::RecordError;
use crate::record::{DispatchBuilder, Recorder, Tensor};
use crate::tensor::DType;

const OP: &str = "attention";

/// Heads side by side in the rows of a tensor: columns `first .. first + heads * size`.
#[derive(Clone, Copy, Debug)]
pub struct Heads<'t> {
    /// [rows, columns] f32 or f16
    pub tensor: &'t Tensor,
    /// The first column, a multiple of 4.
    pub first: usize,
}

/// As [`Heads`], of a tensor that may be a copy.
#[derive(Clone, Copy, Debug)]
struct Part {
    tensor: Tensor,
    first: usize,
}

impl Part {
    /// Columns of the tensor.
    fn columns(&self) -> usize {
        self.tensor.shape.last_dim()
    }

    /// Rows of the tensor.
    fn rows(&self) -> usize {
        self.tensor.shape.rows()
    }
}

impl From<Heads<'_>> for Part {
    fn from(heads: Heads<'_>) -> Self {
        Self {
            tensor: *heads.tensor,
            first: heads.first,
        }
    }
}

impl<'t> From<&'t Tensor> for Heads<'t> {
    fn from(tensor: &'t Tensor) -> Self {
        Self { tensor, first: 0 }
    }
}

/// What is added to the scaled scores.
#[derive(Clone, Copy, Debug, Default)]
pub enum Bias<'t> {
    /// Nothing.
    #[default]
    None,
    /// `bias[key]`: log(n) makes a key count as n equal ones, -1e30 as none.
    Keys(
        /// `[Lk]` f32
        &'t Tensor,
    ),
    /// `table[bucket[key - query + L - 1], head]`: as many queries as keys.
    Table {
        /// [buckets, H] f32
        table: &'t Tensor,
        /// [2 L - 1] u32, each less than the number of buckets
        bucket: &'t Tensor,
    },
}

impl Bias<'_> {
    fn module(&self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Keys(_) => Some("keys"),
            Self::Table { .. } => Some("table"),
        }
    }

    /// Every module of the slot.
    const MODULES: [Option<&'static str>; 3] = [None, Some("keys"), Some("table")];

    fn check(&self, [queries, keys, heads]: [usize; 3]) -> Result<(), RecordError> {
        let must = |name, tensor: &Tensor, good: bool, expected: String| match good {
            true => Ok(()),
            false => Err(RecordError::Shape {
                op: OP,
                name,
                found: tensor.shape,
                expected,
            }),
        };
        match self {
            Self::None => Ok(()),
            Self::Keys(bias) => {
                let good = bias.shape.count() == keys && bias.dtype == DType::F32;
                must("bias", bias, good, format!("f32 [{keys}]"))
            }
            Self::Table { table, bucket } => {
                let good = table.shape.last_dim() == heads;
                must("bias table", table, good, format!("[_, {heads}]"))?;
                let count = 2 * keys - 1;
                let good =
                    queries == keys && bucket.shape.count() == count && bucket.dtype == DType::U32;
                let expected = format!("u32 [{count}] for {queries} queries and {keys} keys");
                must("buckets", bucket, good, expected)
            }
        }
    }

    fn bind<'r, 'a>(&self, builder: DispatchBuilder<'r, 'a>) -> DispatchBuilder<'r, 'a> {
        match self {
            Self::None => builder,
            Self::Keys(bias) => builder.read(8, bias),
            Self::Table { table, bucket } => builder.read(8, table).read(9, bucket),
        }
    }
}

/// The heads of an attention and how their scores are scaled.
#[derive(Clone, Copy, Debug)]
pub struct AttentionShape {
    /// H
    pub heads: usize,
    /// D, a multiple of 4
    pub head_size: usize,
    /// Factor of `q k^T`; `1 / sqrt(D)` in most models, 1 in T5's.
    pub scale: f32,
}

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
    let dtype = match same {
        true => first,
        false => rec.caps().activations(),
    };
    let [q, k, v] = parts.map(|part| match part.tensor.dtype == dtype {
        true => Ok(Part::from(part)),
        false => Ok(Part {
            tensor: columns(rec, part.tensor, part.first, width, dtype)?,
            first: 0,
        }),
    });
    Ok([q?, k?, v?])
}
