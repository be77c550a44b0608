//! What one element of a tensor is, and how many bytes it takes.

use std::fmt;

use super::q8_0;

/// The type of a tensor's elements.
///
/// Floating-point formats are IEEE 754 binary32 and binary16, and bfloat16 (binary32 without its
/// lower 16 bits). `U32` carries indices and packed words. `Q8_0` holds matrices of linear layers in
/// blocks of 32 along a row, see [`q8_0`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// 32-bit float.
    F32,
    /// 16-bit float: 5 bits of exponent, 10 of fraction.
    F16,
    /// 16-bit float: 8 bits of exponent, 7 of fraction.
    BF16,
    /// 32-bit unsigned integer.
    U32,
    /// 8-bit integers, 32 to an f16 scale.
    Q8_0,
}

impl DType {
    /// The name that people and files write: `F32`, `F16`, `BF16`, `U32`, `Q8_0`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::U32 => "U32",
            Self::Q8_0 => "Q8_0",
        }
    }

    /// Bytes per element; in `Q8_0` without its part of the scale: [`bytes`](Self::bytes) counts
    /// those.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::F32 | Self::U32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::Q8_0 => 1,
        }
    }

    /// Elements of a row that only exist together: 32 in `Q8_0`, else 1.
    #[must_use]
    pub const fn block(self) -> usize {
        match self {
            Self::Q8_0 => q8_0::BLOCK,
            Self::F32 | Self::F16 | Self::BF16 | Self::U32 => 1,
        }
    }

    /// Bytes of so many elements in a file: whole blocks with their scales.
    #[must_use]
    pub const fn bytes(self, count: usize) -> usize {
        match self {
            Self::Q8_0 => count
                .div_ceil(q8_0::BLOCK)
                .saturating_mul(q8_0::BLOCK_BYTES),
            Self::F32 | Self::F16 | Self::BF16 | Self::U32 => count.saturating_mul(self.size()),
        }
    }

    /// Bytes of so many elements of a matrix on the device, where scales are f32.
    #[must_use]
    pub const fn matrix_bytes(self, count: usize) -> usize {
        match self {
            Self::Q8_0 => count.div_ceil(q8_0::BLOCK).saturating_mul(4 + q8_0::BLOCK),
            Self::F32 | Self::F16 | Self::BF16 | Self::U32 => self.bytes(count),
        }
    }

    /// Whether the elements are floating-point numbers.
    #[must_use]
    pub const fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F16 | Self::BF16)
    }

    /// Whether it holds numbers too large or too small for f16.
    #[must_use]
    pub const fn exceeds_f16(self) -> bool {
        matches!(self, Self::F32 | Self::BF16 | Self::Q8_0)
    }

    /// The type that a safetensors header calls `name`, or `None` where Kinora has no use for it.
    #[must_use]
    pub fn from_safetensors(name: &str) -> Option<Self> {
        match name {
            "F32" => Some(Self::F32),
            "F16" => Some(Self::F16),
            "BF16" => Some(Self::BF16),
            "U32" => Some(Self::U32),
            _ => None,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::DType;

    #[test]
    fn a_name_is_read_back() {
        for dtype in [DType::F32, DType::F16, DType::BF16, DType::U32] {
            assert_eq!(DType::from_safetensors(dtype.name()), Some(dtype));
            assert_eq!(dtype.to_string(), dtype.name());
        }
        assert_eq!(DType::from_safetensors("F8_E4M3"), None);
        assert_eq!(DType::from_safetensors("f32"), None);
    }

    #[test]
    fn sizes_are_in_bytes() {
        assert_eq!(
            [DType::F32, DType::F16, DType::BF16, DType::U32].map(DType::size),
            [4, 2, 2, 4]
        );
        assert_eq!([DType::BF16, DType::Q8_0].map(|d| d.bytes(64)), [128, 68]);
        let of_matrix = [DType::BF16, DType::Q8_0].map(|d| d.matrix_bytes(64));
        assert_eq!(of_matrix, [128, 72]);
    }
}
