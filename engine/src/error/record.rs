//! Errors of ops and recordings.

use crate::tensor::Shape;

/// A pass that cannot be recorded: shapes that do not match, or limits of the device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// A tensor with another number of dimensions.
    #[error("{op}: {name} has shape {found}, expected {expected} dimensions")]
    Rank {
        /// The operation.
        op: &'static str,
        /// The tensor.
        name: String,
        /// Its shape.
        found: Shape,
        /// How many dimensions it must have.
        expected: usize,
    },
    /// A tensor whose shape does not match another's.
    #[error("{op}: {name} is {found}, expected {expected}")]
    Shape {
        /// The operation.
        op: &'static str,
        /// The tensor.
        name: &'static str,
        /// Its shape.
        found: Shape,
        /// What it must be, in words or numbers.
        expected: String,
    },
    /// A view of rows beyond the tensor's.
    #[error("rows {first} to {} of a tensor of {rows} rows", first + count)]
    Rows {
        /// The first row.
        first: usize,
        /// How many.
        count: usize,
        /// How many there are.
        rows: usize,
    },
    /// A size that the kernels cannot take.
    #[error("{op}: {name} is {found}, expected {expected}")]
    Size {
        /// The operation.
        op: &'static str,
        /// The dimension.
        name: &'static str,
        /// Its value.
        found: usize,
        /// What it must be.
        expected: &'static str,
    },
    /// A name used for two tensors.
    #[error("tensor `{name}` was {first} and is asked for again as {second}")]
    Redefined {
        /// The name.
        name: String,
        /// The first use.
        first: String,
        /// The second.
        second: String,
    },
    /// A buffer binding larger than the device allows.
    #[error(
        "{op}: tensor `{name}` {shape} needs {bytes} bytes in one binding, the device allows {limit}; choose a smaller size or fewer frames"
    )]
    BindingTooLarge {
        /// The operation.
        op: &'static str,
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Shape,
        /// What it needs.
        bytes: u64,
        /// What there is.
        limit: u64,
    },
    /// More storage buffers than the device allows.
    #[error("{op}: {found} storage buffers, the device allows {limit}")]
    TooManyBindings {
        /// The operation.
        op: &'static str,
        /// How many it binds.
        found: u32,
        /// How many there may be.
        limit: u32,
    },
    /// A grid beyond the device's limit.
    #[error("{op}: a grid of {found:?} workgroups, the device allows {limit} in a dimension")]
    GridTooLarge {
        /// The operation.
        op: &'static str,
        /// The grid.
        found: [usize; 3],
        /// The limit.
        limit: u32,
    },
}
