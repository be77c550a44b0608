//! Element types of tensors and their sizes.

use std::fmt;

use super::pack::ROWS;
use super::{
    Format, Layout, f8_e4m3, f8_e5m2, floats, int8, iq4_nl, iq4_xs, nvfp4, q2_k, q3_k, q4_0, q4_1,
    q4_k, q5_0, q5_1, q5_k, q6_k, q8_0,
};

macro_rules! table {
    ($(#[$docs:meta])* weights { $($(#[$doc:meta])* $weight:ident: $format:expr,)* }
     others { $($(#[$other_doc:meta])* $other:ident: $other_format:expr,)* }) => {
        $(#[$docs])*
        pub enum DType {
            $($(#[$doc])* $weight,)*
            $($(#[$other_doc])* $other,)*
        }

        impl DType {
            /// All types.
            pub const ALL: [Self; Self::WEIGHTS.len() + [$(Self::$other,)*].len()] =
                [$(Self::$weight,)* $(Self::$other,)*];

            /// The types of matrices of linear layers.
            pub const WEIGHTS: [Self; [$(Self::$weight,)*].len()] = [$(Self::$weight,)*];

            /// Its row of the table of formats.
            #[must_use]
            pub const fn format(self) -> &'static Format {
                match self {
                    $(Self::$weight => &$format,)*
                    $(Self::$other => &$other_format,)*
                }
            }
        }
    };
}

table! {
/// The type of a tensor's elements.
///
/// Floating-point formats are IEEE 754 binary32 and binary16, bfloat16 (binary32 without its lower
/// 16 bits) and [e4m3](f8_e4m3). `U32` carries indices and packed words. The formats of GGUF hold
/// matrices of linear layers in blocks along a row. Each type has a file in `tensor/` that defines
/// it for the rest of the engine. A new type needs such a file, a row here, a module in
/// `shaders/weight/` and values in `tests/fixtures/oracle/element_types.py`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(
    non_camel_case_types,
    reason = "Q4_K is the name of the format everywhere"
)]
weights {
    /// 32-bit float.
    F32: floats::F32,
    /// 16-bit float: 5 bits of exponent, 10 of fraction.
    F16: floats::F16,
    /// 16-bit float: 8 bits of exponent, 7 of fraction.
    BF16: floats::BF16,
    /// 8-bit float: 4 bits of exponent, 3 of fraction, no infinities (`float8_e4m3fn`).
    F8E4M3: f8_e4m3::FORMAT,
    /// 8-bit float: 5 bits of exponent, 2 of fraction (`float8_e5m2`).
    F8E5M2: f8_e5m2::FORMAT,
    /// 8-bit integers with a scale for all or one a row.
    I8: int8::FORMAT,
    /// 8-bit integers, 32 to an f16 scale.
    Q8_0: q8_0::FORMAT,
    /// 6-bit integers, 16 to a scale of 8 bits, 256 to an f16 factor of those.
    Q6_K: q6_k::FORMAT,
    /// 5-bit integers, 32 to an f16 scale and an f16 minimum.
    Q5_1: q5_1::FORMAT,
    /// 5-bit integers, 32 to an f16 scale.
    Q5_0: q5_0::FORMAT,
    /// 5-bit integers, else as `Q4_K`.
    Q5_K: q5_k::FORMAT,
    /// 4-bit integers, 32 to an f16 scale and an f16 minimum.
    Q4_1: q4_1::FORMAT,
    /// 4-bit integers, 32 to an f16 scale.
    Q4_0: q4_0::FORMAT,
    /// 4-bit integers, 32 to a scale and a minimum of 6 bits, 256 to two f16 factors of those.
    Q4_K: q4_k::FORMAT,
    /// 4-bit codes of uneven values, 32 to an f16 scale.
    IQ4_NL: iq4_nl::FORMAT,
    /// 4-bit codes of uneven values, 32 to a scale of 6 bits, 256 to an f16 factor of those.
    IQ4_XS: iq4_xs::FORMAT,
    /// 3-bit integers, 16 to a scale of 6 bits, 256 to an f16 factor of those.
    Q3_K: q3_k::FORMAT,
    /// 2-bit integers, 16 to a scale and a minimum of 4 bits, 256 to two f16 factors of those.
    Q2_K: q2_k::FORMAT,
    /// 4-bit floats of 2 bits of exponent and one of fraction, 16 to an e4m3 scale.
    NVFP4: nvfp4::FORMAT,
}
others {
    /// 32-bit unsigned integer.
    U32: floats::U32,
}
}

impl DType {
    /// The name that people and files write: `F32`, `F8_E4M3`, `Q4_K`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.format().name
    }

    /// Elements that are encoded together: 32 or 256 along a row in the formats of GGUF, else 1.
    #[must_use]
    pub const fn block(self) -> usize {
        self.format().block
    }

    /// Bytes of a [`block`](Self::block) in a file; of an element for types without blocks.
    #[must_use]
    pub const fn size(self) -> usize {
        self.format().size
    }

    /// Bytes of `elements` elements in a file, rounded up to whole blocks.
    #[must_use]
    pub const fn bytes(self, count: usize) -> usize {
        count.div_ceil(self.block()).saturating_mul(self.size())
    }

    /// Bytes of a matrix on the device. `rows` is a multiple of 8, `depth` of 4 and of the block.
    /// (`shaders/weight/` has the layouts.)
    #[must_use]
    pub const fn matrix_bytes(self, rows: usize, depth: usize) -> usize {
        let blocks = depth.div_ceil(self.block());
        let row = match self.format().layout {
            Layout::Elements => blocks.saturating_mul(self.size()),
            Layout::Bytes { .. } => blocks.saturating_add(4),
            Layout::Blocks { words, .. } => {
                let head = if self.format().scaled.is_some() { 4 } else { 0 };
                blocks.saturating_mul(words * 4 / ROWS).saturating_add(head)
            }
        };
        row.saturating_mul(rows)
    }

    /// Whether only matrices of linear layers are held in it on the device: other weights are
    /// widened when they are asked for.
    #[must_use]
    pub const fn is_for_matrices(self) -> bool {
        !matches!(self.format().layout, Layout::Elements)
    }

    /// Whether it holds numbers too large or too small for f16; formats with scales do.
    #[must_use]
    pub const fn exceeds_f16(self) -> bool {
        self.format().exceeds_f16
    }

    /// The types that models are converted to, in the order of the table: what `--quantize` and `kinora
    /// convert` take.
    pub fn targets() -> impl Iterator<Item = Self> {
        let weights = Self::WEIGHTS.into_iter();
        weights.filter(|dtype| dtype.format().target)
    }

    /// Its name in lower case, as options have it: `q4_k`.
    #[must_use]
    pub fn lower_name(self) -> String {
        self.name().to_ascii_lowercase()
    }

    /// The type that a safetensors header calls `name`, or `None` where Kinora has no use for it.
    #[must_use]
    pub fn from_safetensors(name: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|dtype| dtype.format().safetensors && dtype.name() == name)
    }

    /// The type that has this number in GGUF.
    #[must_use]
    pub fn from_gguf(number: u32) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|dtype| dtype.format().gguf == Some(number))
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_back() {
        for dtype in DType::ALL {
            let in_safetensors = dtype.format().safetensors.then_some(dtype);
            assert_eq!(DType::from_safetensors(dtype.name()), in_safetensors);
            assert_eq!(dtype.to_string(), dtype.name());
            if let Some(number) = dtype.format().gguf {
                assert_eq!(DType::from_gguf(number), Some(dtype));
            }
        }
        assert_eq!(DType::from_safetensors("f32"), None);
        assert_eq!(DType::from_safetensors("Q8_0"), None);
    }

    #[test]
    fn sizes_are_in_bytes() {
        for (dtype, of_512, of_one, of_row) in [
            (DType::F32, 2048, 4, 2048),
            (DType::F16, 1024, 2, 1024),
            (DType::BF16, 1024, 2, 1024),
            (DType::F8E4M3, 512, 1, 516),
            (DType::F8E5M2, 512, 1, 516),
            (DType::I8, 512, 1, 516),
            (DType::NVFP4, 288, 18, 324),
            (DType::U32, 2048, 4, 2048),
            (DType::Q8_0, 544, 34, 576),
            (DType::Q4_0, 288, 18, 288),
            (DType::Q4_K, 288, 144, 296),
            (DType::Q5_K, 352, 176, 360),
            (DType::Q6_K, 420, 210, 424),
            (DType::Q5_1, 384, 24, 384),
            (DType::Q5_0, 352, 22, 384),
            (DType::Q4_1, 320, 20, 320),
            (DType::IQ4_NL, 288, 18, 288),
            (DType::IQ4_XS, 272, 136, 280),
            (DType::Q3_K, 220, 110, 232),
            (DType::Q2_K, 168, 84, 168),
        ] {
            let found = [
                dtype.bytes(512),
                dtype.bytes(1),
                dtype.matrix_bytes(8, 512) / 8,
            ];
            assert_eq!(found, [of_512, of_one, of_row], "{dtype}");
        }
    }

    #[test]
    fn values_that_were_written_are_read() {
        let values: Vec<f32> = (0..256).map(|at| (at % 16) as f32 - 8.0).collect();
        for dtype in DType::WEIGHTS {
            let format = dtype.format();
            let bytes = (format.write)(&values);
            assert_eq!(bytes.len(), dtype.bytes(256), "{dtype}");
            let mut read = Vec::new();
            (format.read)(&bytes, &mut read);
            assert_eq!(read.len(), 256, "{dtype}");
            let largest = read.iter().fold(0.0f32, |most, v| most.max(v.abs()));
            let bound = (format.largest)(&bytes);
            assert!(
                bound >= largest && bound <= 2.0 * largest,
                "{dtype}: {bound} and {largest}"
            );
            // Two or three bits an element leave steps of a third of the range.
            let step = if dtype.bytes(256) < 128 { 3.0 } else { 1.5 };
            for (value, read) in values.iter().zip(read) {
                assert!(
                    (value - read).abs() <= step,
                    "{dtype}: {value} became {read}"
                );
            }
        }
    }
}
