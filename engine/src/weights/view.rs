//! One tensor of a checkpoint, and its values as f32 on the host.

use std::borrow::Cow;

use super::encode::encode;
use crate::tensor::DType;

/// A tensor of a [`Checkpoint`](super::Checkpoint): its bytes are borrowed from the file, or made
/// where the checkpoint converts.
#[derive(Clone, Debug)]
pub struct TensorView<'a> {
    /// The tensor's name in the checkpoint.
    pub name: &'a str,
    /// The element type: any but `U32`.
    pub dtype: DType,
    /// The shape, outermost dimension first.
    pub shape: &'a [usize],
    /// The elements, little endian and row-major, at any alignment.
    pub bytes: Cow<'a, [u8]>,
    /// Factors of the elements of a type with scales: none, one for all, or one for each index of the
    /// first dimension.
    pub scales: Vec<f32>,
}

impl<'a> TensorView<'a> {
    /// A view of elements that are multiplied by nothing.
    #[must_use]
    pub fn new(
        name: &'a str,
        dtype: DType,
        shape: &'a [usize],
        bytes: impl Into<Cow<'a, [u8]>>,
    ) -> Self {
        Self {
            name,
            dtype,
            shape,
            bytes: bytes.into(),
            scales: Vec::new(),
        }
    }

    /// The number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the tensor has no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The factor of the elements of a row.
    #[must_use]
    pub fn scale(&self, row: usize) -> f32 {
        match *self.scales.as_slice() {
            [] => 1.0,
            [scale] => scale,
            ref rows => rows.get(row).copied().unwrap_or(1.0),
        }
    }

    /// Converts the elements to f32 if `dtype` is f32 and theirs is not.
    #[must_use]
    pub fn widened_to(&self, dtype: DType) -> Cow<'_, Self> {
        if dtype != DType::F32 || self.dtype == DType::F32 {
            return Cow::Borrowed(self);
        }
        let bytes = encode(dtype, 1.0, &self.to_f32());
        Cow::Owned(Self::new(self.name, dtype, self.shape, bytes))
    }

    /// All elements as f32. Exact, save that products with `scales` and the differences of `Q4_K`
    /// and `Q5_K` are rounded once.
    #[must_use]
    pub fn to_f32(&self) -> Vec<f32> {
        self.pieces(&|piece| piece.to_vec()).concat()
    }
}
