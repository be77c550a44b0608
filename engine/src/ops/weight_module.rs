//! The shader module that reads weights of an element type.

use crate::tensor::DType;

/// The module of the `weight` slot for an element type, `None` for the slot's own file.
pub(super) fn weight_module(dtype: DType) -> Option<&'static str> {
    dtype.format().weight?.path.strip_prefix("weight/")
}
