//! 8-bit floats of 4 bits of exponent and 3 of fraction: `float8_e4m3fn` of PyTorch.
//!
//! The exponent's bias is 7; there are no infinities, and only 0x7f and 0xff are NaN, so the
//! largest value is 448 and the smallest positive one 2^-9. (Micikevicius et al. 2022,
//! <https://arxiv.org/abs/2209.05433>)

use super::format::weight_module;
use super::{Format, Layout};

/// The row of the table.
pub const FORMAT: Format = Format {
    name: "F8_E4M3",
    block: 1,
    size: 1,
    gguf: None,
    safetensors: true,
    weight: weight_module!("weight/f8_e4m3"),
    layout: Layout::Bytes {
        broken: |row| row.iter().any(|&byte| byte & 0x7f == 0x7f),
    },
    scaled: Some(MAX),
    exceeds_f16: true,
    read: |bytes, to| to.extend(bytes.iter().map(|&byte| to_f32(byte))),
    write: |values| values.iter().map(|&value| from_f32(value)).collect(),
    target: true,
    largest: |row| {
        let sizes = row.iter().map(|byte| byte & 0x7f);
        to_f32(sizes.filter(|&size| size < 0x7f).max().unwrap_or(0))
    },
    // As a scale 2^-11, and each byte of it an e4m3.
    noise: [0x807f_ffff, 0x3a00_0000],
};

/// The largest value.
pub const MAX: f32 = 448.0;

/// The value of a byte.
#[must_use]
pub fn to_f32(byte: u8) -> f32 {
    let fraction = f32::from(byte & 7);
    let size = match byte >> 3 & 15 {
        15 if byte & 7 == 7 => f32::NAN,
        // 2^-6 times the fraction alone.
        0 => fraction / 512.0,
        exponent => (8.0 + fraction) * f32::from_bits((u32::from(exponent) + 117) << 23),
    };
    size.copysign(if byte < 0x80 { 1.0 } else { -1.0 })
}

/// The byte of the nearest value, ties to even. Values beyond 448 become 448; NaN stays NaN.
#[must_use]
pub fn from_f32(value: f32) -> u8 {
    let sign = (value.to_bits() >> 24 & 0x80) as u8;
    let size = value.abs();
    if size.is_nan() {
        return sign | 0x7f;
    }
    if size >= MAX {
        return sign | 0x7e;
    }
    // Of two powers of two, the lower one's exponent; below 2^-6 the step is that of 2^-6.
    let exponent = (size.to_bits() >> 23).max(127 - 6);
    // Exact: a division by a power of two, and at most 16 after it.
    let steps = size / f32::from_bits((exponent - 3) << 23);
    let rounded = steps.round_ties_even() as u8;
    // Steps count from 0 below 2^-6 and from 8 above; 16 of them carry into the exponent.
    sign | ((((exponent - 121) as u8) << 3) + rounded)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What torch 2.11 makes of the bytes 0 to 127 as `float8_e4m3fn`, in units of 2^-9.
    const UNITS: [u32; 127] = [
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 20, 22, 24, 26, 28, 30, 32,
        36, 40, 44, 48, 52, 56, 60, 64, 72, 80, 88, 96, 104, 112, 120, 128, 144, 160, 176, 192,
        208, 224, 240, 256, 288, 320, 352, 384, 416, 448, 480, 512, 576, 640, 704, 768, 832, 896,
        960, 1024, 1152, 1280, 1408, 1536, 1664, 1792, 1920, 2048, 2304, 2560, 2816, 3072, 3328,
        3584, 3840, 4096, 4608, 5120, 5632, 6144, 6656, 7168, 7680, 8192, 9216, 10240, 11264,
        12288, 13312, 14336, 15360, 16384, 18432, 20480, 22528, 24576, 26624, 28672, 30720, 32768,
        36864, 40960, 45056, 49152, 53248, 57344, 61440, 65536, 73728, 81920, 90112, 98304, 106496,
        114688, 122880, 131072, 147456, 163840, 180224, 196608, 212992, 229376,
    ];

    #[test]
    fn every_byte_is_what_torch_makes_of_it() {
        for (byte, units) in (0_u8..).zip(UNITS) {
            let value = units as f32 / 512.0;
            assert_eq!(to_f32(byte).to_bits(), value.to_bits(), "{byte:#x}");
            let negative = to_f32(byte | 0x80);
            assert_eq!(negative.to_bits(), (-value).to_bits(), "{:#x}", byte | 0x80);
        }
        assert!(to_f32(0x7f).is_nan() && to_f32(0xff).is_nan());
        assert_eq!(to_f32(0x7e), MAX);
    }

    #[test]
    fn values_between_two_go_to_the_nearer_of_two_as_near_to_the_even() {
        for byte in 0..0x7e_u8 {
            let (low, high) = (to_f32(byte), to_f32(byte + 1));
            let middle = (low + high) / 2.0;
            let even = byte + (byte & 1);
            let [below, above] = [middle.next_down(), middle.next_up()];
            for (value, expected) in [
                (low, byte),
                (below, byte),
                (middle, even),
                (above, byte + 1),
            ] {
                assert_eq!(from_f32(value), expected, "{value}");
                assert_eq!(from_f32(-value), expected | 0x80, "{}", -value);
            }
        }
        assert_eq!([448.0, 470.0, 1e30, f32::INFINITY].map(from_f32), [0x7e; 4]);
        assert_eq!(from_f32(f32::NEG_INFINITY), 0xfe);
        assert_eq!(from_f32(f32::NAN) & 0x7f, 0x7f);
        assert_eq!(from_f32(f32::MIN_POSITIVE / 4.0), 0);
    }
}
