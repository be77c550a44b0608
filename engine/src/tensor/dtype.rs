//! What one element of a tensor is, and how many bytes it takes.

use std::fmt;

use super::{q4_0, q4_k, q5_k, q6_k, q8_0};

/// The type of a tensor's elements.
///
/// Floating-point formats are IEEE 754 binary32 and binary16, bfloat16 (binary32 without its lower
/// 16 bits) and [e4m3](super::f8_e4m3). `U32` carries indices and packed words. The formats of GGUF
/// hold matrices of linear layers in blocks along a row: [`q8_0`], [`q4_0`], [`q4_k`], [`q5_k`],
/// [`q6_k`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(
    non_camel_case_types,
    reason = "Q4_K is the name of the format everywhere"
)]
pub enum DType {
    /// 32-bit float.
    F32,
    /// 16-bit float: 5 bits of exponent, 10 of fraction.
    F16,
    /// 16-bit float: 8 bits of exponent, 7 of fraction.
    BF16,
    /// 8-bit float: 4 bits of exponent, 3 of fraction, no infinities (`float8_e4m3fn`).
    F8E4M3,
    /// 32-bit unsigned integer.
    U32,
    /// 8-bit integers, 32 to an f16 scale.
    Q8_0,
    /// 4-bit integers, 32 to an f16 scale.
    Q4_0,
    /// 4-bit integers, 32 to a scale and a minimum of 6 bits, 256 to two f16 factors of those.
    Q4_K,
    /// 5-bit integers, else as `Q4_K`.
    Q5_K,
    /// 6-bit integers, 16 to a scale of 8 bits, 256 to an f16 factor of those.
    Q6_K,
}

impl DType {
    /// All types.
    pub const ALL: [Self; 10] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::F8E4M3,
        Self::U32,
        Self::Q8_0,
        Self::Q4_0,
        Self::Q4_K,
        Self::Q5_K,
        Self::Q6_K,
    ];

    /// The types of matrices of linear layers.
    pub const WEIGHTS: [Self; 9] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::F8E4M3,
        Self::Q8_0,
        Self::Q4_0,
        Self::Q4_K,
        Self::Q5_K,
        Self::Q6_K,
    ];

    /// The name that people and files write: `F32`, `F8_E4M3`, `Q4_K`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::F8E4M3 => "F8_E4M3",
            Self::U32 => "U32",
            Self::Q8_0 => "Q8_0",
            Self::Q4_0 => "Q4_0",
            Self::Q4_K => "Q4_K",
            Self::Q5_K => "Q5_K",
            Self::Q6_K => "Q6_K",
        }
    }

    /// Elements of a row that only exist together: 32 or 256 in the formats of GGUF, else 1.
    #[must_use]
    pub const fn block(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::BF16 | Self::F8E4M3 | Self::U32 => 1,
            Self::Q8_0 => q8_0::BLOCK,
            Self::Q4_0 => q4_0::BLOCK,
            Self::Q4_K => q4_k::BLOCK,
            Self::Q5_K => q5_k::BLOCK,
            Self::Q6_K => q6_k::BLOCK,
        }
    }

    /// Bytes of a [`block`](Self::block) in a file: of an element where there are no blocks.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::F32 | Self::U32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::F8E4M3 => 1,
            Self::Q8_0 => q8_0::BLOCK_BYTES,
            Self::Q4_0 => q4_0::BLOCK_BYTES,
            Self::Q4_K => q4_k::BLOCK_BYTES,
            Self::Q5_K => q5_k::BLOCK_BYTES,
            Self::Q6_K => q6_k::BLOCK_BYTES,
        }
    }

    /// Bytes of so many elements in a file, the last block whole.
    #[must_use]
    pub const fn bytes(self, count: usize) -> usize {
        count.div_ceil(self.block()).saturating_mul(self.size())
    }

    /// Bytes of a matrix on the device. `rows` is a multiple of 8, `depth` of 4 and of the block.
    /// (`shaders/weight/` has the layouts.)
    #[must_use]
    pub const fn matrix_bytes(self, rows: usize, depth: usize) -> usize {
        let blocks = depth.div_ceil(self.block());
        let row = match self {
            Self::F32 | Self::F16 | Self::BF16 | Self::U32 | Self::Q4_0 => {
                blocks.saturating_mul(self.size())
            }
            // A scale before each row.
            Self::F8E4M3 => blocks.saturating_add(4),
            // Scales as f32.
            Self::Q8_0 | Self::Q6_K => blocks.saturating_mul(self.size() + 2),
            // Scales and minima as bytes.
            Self::Q4_K | Self::Q5_K => blocks.saturating_mul(self.size() + 4),
        };
        row.saturating_mul(rows)
    }

    /// Whether only matrices of linear layers are held in it on the device: other weights are
    /// widened when they are asked for.
    #[must_use]
    pub const fn is_for_matrices(self) -> bool {
        !matches!(self, Self::F32 | Self::F16 | Self::BF16 | Self::U32)
    }

    /// Whether it holds numbers too large or too small for f16; formats with scales do.
    #[must_use]
    pub const fn exceeds_f16(self) -> bool {
        !matches!(self, Self::F16 | Self::U32)
    }

    /// The type that a safetensors header calls `name`, or `None` where Kinora has no use for it.
    #[must_use]
    pub fn from_safetensors(name: &str) -> Option<Self> {
        let known = Self::ALL.into_iter().find(|dtype| dtype.name() == name)?;
        (known.block() == 1).then_some(known)
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
        for dtype in DType::ALL {
            let in_safetensors = (dtype.block() == 1).then_some(dtype);
            assert_eq!(DType::from_safetensors(dtype.name()), in_safetensors);
            assert_eq!(dtype.to_string(), dtype.name());
        }
        assert_eq!(DType::from_safetensors("F8_E5M2"), None);
        assert_eq!(DType::from_safetensors("f32"), None);
    }

    #[test]
    fn sizes_are_in_bytes() {
        assert_eq!(
            DType::ALL.map(|d| d.bytes(512)),
            [2048, 1024, 1024, 512, 2048, 544, 288, 288, 352, 420]
        );
        assert_eq!(
            DType::ALL.map(|d| d.bytes(1)),
            [4, 2, 2, 1, 4, 34, 18, 144, 176, 210]
        );
        let of_matrix = DType::ALL.map(|d| d.matrix_bytes(8, 512) / 8);
        assert_eq!(
            of_matrix,
            [2048, 1024, 1024, 516, 2048, 576, 288, 296, 360, 424]
        );
    }
}
