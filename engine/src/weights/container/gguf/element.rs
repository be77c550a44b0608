//! The element types of GGUF: their numbers, names and sizes.

use crate::tensor::DType;
use crate::weights::container::Stored;

/// An element type of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) number: u32,
    /// ggml's name.
    pub(super) name: &'static str,
    /// Elements of a row that only exist together.
    pub(super) block: usize,
    /// The bytes of a block.
    size: usize,
}

/// Types that Kinora does not compute with. They are listed so that files with such tensors can
/// still be checked. (`GGML_QUANT_SIZES` in gguf-py)
const OTHERS: &[Element] = &[
    element(9, "Q8_1", 32, 40),
    element(15, "Q8_K", 256, 292),
    element(16, "IQ2_XXS", 256, 66),
    element(17, "IQ2_XS", 256, 74),
    element(18, "IQ3_XXS", 256, 98),
    element(19, "IQ1_S", 256, 50),
    element(21, "IQ3_S", 256, 110),
    element(22, "IQ2_S", 256, 82),
    element(24, "I8", 1, 1),
    element(25, "I16", 1, 2),
    element(26, "I32", 1, 4),
    element(27, "I64", 1, 8),
    element(28, "F64", 1, 8),
    element(29, "IQ1_M", 256, 56),
    element(34, "TQ1_0", 256, 54),
    element(35, "TQ2_0", 256, 66),
    element(39, "MXFP4", 32, 17),
    element(40, "NVFP4", 64, 36),
    element(41, "Q1_0", 128, 18),
];

const fn element(number: u32, name: &'static str, block: usize, size: usize) -> Element {
    Element {
        number,
        name,
        block,
        size,
    }
}

impl Element {
    /// The type with this number.
    pub(super) fn of(number: u32) -> Option<Self> {
        let other = || OTHERS.iter().find(|element| element.number == number);
        let own = DType::from_gguf(number).and_then(Self::for_dtype);
        own.or_else(|| other().copied())
    }

    /// The type that `dtype` is in this format.
    pub(super) fn for_dtype(dtype: DType) -> Option<Self> {
        Some(Self {
            number: dtype.format().gguf?,
            name: dtype.name(),
            block: dtype.block(),
            size: dtype.size(),
        })
    }

    /// The bytes of `elements` elements in whole blocks.
    pub(super) fn bytes(self, elements: u64) -> Option<u64> {
        (elements / self.block as u64).checked_mul(self.size as u64)
    }

    /// The type it is read as.
    pub(super) fn stored(self) -> Stored {
        Stored {
            name: self.name.into(),
            dtype: DType::from_gguf(self.number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stands_in_one_place() {
        for other in OTHERS {
            assert_eq!(DType::from_gguf(other.number), None, "{}", other.name);
        }
    }
}
