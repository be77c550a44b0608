//! Hands out a checkpoint's tensors in a smaller element type than its files have.

use super::Checkpoint;
use crate::tensor::DType;

/// The type to convert to, and the tensors to convert, by name and shape.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quantization {
    dtype: DType,
    which: fn(&str, &[usize]) -> bool,
}

impl Checkpoint {
    /// Hands out the tensors that `which` selects by name and shape as `dtype`, converting them on
    /// every request. Tensors that are no larger already, or whose rows are not a whole number of
    /// blocks, stay as they are.
    #[must_use]
    pub fn quantized(mut self, dtype: DType, which: fn(&str, &[usize]) -> bool) -> Self {
        self.quantization = Some(Quantization { dtype, which });
        self
    }

    /// The type in which the tensor `name`, stored as `dtype`, is handed out.
    pub(super) fn quantized_type(&self, name: &str, shape: &[usize], dtype: DType) -> DType {
        // All blocks divide this many elements.
        const MANY: usize = 256;
        let narrower = self.quantization.filter(|quantization| {
            let row = shape.last().copied().unwrap_or(1);
            quantization.dtype.bytes(MANY) < dtype.bytes(MANY)
                && row.is_multiple_of(quantization.dtype.block())
                && (quantization.which)(name, shape)
        });
        narrower.map_or(dtype, |quantization| quantization.dtype)
    }
}
