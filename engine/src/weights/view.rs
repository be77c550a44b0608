//! One tensor of a checkpoint, and its values as f32 on the host.

use half::{bf16, f16};

use crate::tensor::{DType, q8_0};

/// A tensor of a [`Checkpoint`](super::Checkpoint): borrowed, not copied.
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    /// The tensor's name in the checkpoint.
    pub name: &'a str,
    /// The element type: `F32`, `F16`, `BF16` or, not from safetensors, `Q8_0`.
    pub dtype: DType,
    /// The shape, outermost dimension first.
    pub shape: &'a [usize],
    /// The elements, little endian and row-major, at any alignment.
    pub bytes: &'a [u8],
}

impl TensorView<'_> {
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

    /// All elements as f32; exact, since every f16, bf16 and product of int8 and f16 is an f32.
    #[must_use]
    pub fn to_f32(&self) -> Vec<f32> {
        let mut values = Vec::with_capacity(self.len());
        widen(self.dtype, self.bytes, &mut values);
        values
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
        DType::Q8_0 => values.extend(q8_0::dequantize(bytes)),
        DType::U32 => values.extend(quads.map(|quad| u32::from_le_bytes(quad) as f32)),
    }
}
