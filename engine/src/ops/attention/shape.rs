//! The operands of an attention: heads of tensors, a bias, sizes.

use crate::error::RecordError;
use crate::record::{DispatchBuilder, Tensor};
use crate::tensor::DType;

pub(super) const OP: &str = "attention";

/// Heads side by side in the rows of a tensor: columns `first .. first + heads * size`.
#[derive(Clone, Copy, Debug)]
pub struct Heads<'t> {
    /// [rows, columns] f32 or f16
    pub tensor: &'t Tensor,
    /// The first column, a multiple of 4.
    pub first: usize,
}

/// Like [`Heads`], but owns its tensor, which may be a copy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) tensor: Tensor,
    pub(super) first: usize,
}

impl Part {
    /// Columns of the tensor.
    pub(super) fn columns(&self) -> usize {
        self.tensor.shape.last_dim()
    }

    /// Rows of the tensor.
    pub(super) fn rows(&self) -> usize {
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

/// A term added to the scaled scores.
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
    pub(super) fn module(&self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Keys(_) => Some("keys"),
            Self::Table { .. } => Some("table"),
        }
    }

    /// Every module of the slot.
    pub(super) const MODULES: [Option<&'static str>; 3] = [None, Some("keys"), Some("table")];

    pub(super) fn check(&self, [queries, keys, heads]: [usize; 3]) -> Result<(), RecordError> {
        let must = |name, tensor: &Tensor, good: bool, expected: String| {
            if good {
                Ok(())
            } else {
                Err(RecordError::Shape {
                    op: OP,
                    name,
                    found: tensor.shape,
                    expected,
                })
            }
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

    pub(super) fn bind<'r, 'a>(&self, builder: DispatchBuilder<'r, 'a>) -> DispatchBuilder<'r, 'a> {
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
