//! Tensors that a checkpoint hands out in a smaller element type than its files have.

use super::Checkpoint;
use crate::tensor::DType;

/// Which tensors, by name and shape, become which type.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quantization {
    dtype: DType,
    which: fn(&str, &[usize]) -> bool,
}

impl Checkpoint {
    /// The same files, whose tensors that `which` chooses by name and shape are handed out as
    /// `dtype`: each time anew, when it is asked for. What is as small already, and what has rows of
    /// no whole number of blocks, stays as it is.
    #[must_use]
    pub fn quantized(mut self, dtype: DType, which: fn(&str, &[usize]) -> bool) -> Self {
        self.quantization = Some(Quantization { dtype, which });
        self
    }

    /// What the tensor `name`, in its files of type `dtype`, is handed out as.
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
