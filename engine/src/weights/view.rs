//! One tensor of a checkpoint, and its values as f32 on the host.

use std::borrow::Cow;

use half::{bf16, f16};

use super::narrow::narrow;
use crate::tensor::{DType, f8_e4m3, q4_0, q4_k, q5_k, q6_k, q8_0};

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
    /// What elements of `F8_E4M3` are to be multiplied by: nothing, one for all, or one a row (a
    /// row is what the first dimension counts).
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

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the elements of a row are multiplied by.
    #[must_use]
    pub fn scale(&self, row: usize) -> f32 {
        match *self.scales.as_slice() {
            [] => 1.0,
            [scale] => scale,
            ref rows => rows.get(row).copied().unwrap_or(1.0),
        }
    }

    /// The same elements as f32 where `dtype` is that and theirs is not.
    #[must_use]
    pub fn widened_to(&self, dtype: DType) -> Cow<'_, Self> {
        if dtype != DType::F32 || self.dtype == DType::F32 {
            return Cow::Borrowed(self);
        }
        let bytes = narrow(dtype, 1.0, &self.to_f32());
        Cow::Owned(Self::new(self.name, dtype, self.shape, bytes))
    }

    /// All elements as f32. Exact, save that products with `scales` and the differences of `Q4_K`
    /// and `Q5_K` are rounded once.
    #[must_use]
    pub fn to_f32(&self) -> Vec<f32> {
        self.pieces(&|piece| piece.to_vec()).concat()
    }
}

/// Appends the elements of `bytes` to `values`.
pub(super) fn widen(dtype: DType, bytes: &[u8], values: &mut Vec<f32>) {
    // The bytes may lie at any address, so that they are read one element at a time.
    let pairs = bytes.as_chunks::<2>().0.iter().copied();
    let quads = bytes.as_chunks::<4>().0.iter().copied();
    match dtype {
        DType::F32 => values.extend(quads.map(f32::from_le_bytes)),
        DType::F16 => values.extend(pairs.map(|pair| f16::from_le_bytes(pair).to_f32())),
        DType::BF16 => values.extend(pairs.map(|pair| bf16::from_le_bytes(pair).to_f32())),
        DType::F8E4M3 => values.extend(bytes.iter().map(|&byte| f8_e4m3::to_f32(byte))),
        DType::U32 => values.extend(quads.map(|quad| u32::from_le_bytes(quad) as f32)),
        DType::Q8_0 => values.extend(q8_0::dequantize(bytes)),
        DType::Q4_0 => values.extend(q4_0::dequantize(bytes)),
        DType::Q4_K => values.extend(q4_k::dequantize(bytes)),
        DType::Q5_K => values.extend(q5_k::dequantize(bytes)),
        DType::Q6_K => values.extend(q6_k::dequantize(bytes)),
    }
}
