//! 8-bit floats of 5 bits of exponent and 2 of fraction: `float8_e5m2` of PyTorch.
//!
//! They are the upper halves of IEEE 754 binary16, with its infinities and NaN; the largest finite one
//! is 57344 and the smallest above zero 2^-16. (Micikevicius et al. 2022,
//! <https://arxiv.org/abs/2209.05433>)

use half::f16;

use super::format::weight_module;
use super::{Format, Layout};

/// The row of the table.
pub const FORMAT: Format = Format {
    name: "F8_E5M2",
    block: 1,
    size: 1,
    gguf: None,
    safetensors: true,
    weight: weight_module!("weight/f8_e5m2"),
    layout: Layout::Bytes {
        broken: |row| row.iter().any(|&byte| byte & 0x7c == 0x7c),
    },
    scaled: Some(MAX),
    exceeds_f16: true,
    read: |bytes, to| to.extend(bytes.iter().map(|&byte| to_f32(byte))),
    write: |values| values.iter().map(|&value| from_f32(value)).collect(),
    // F8_E4M3 holds weights better in as many bits.
    target: false,
    largest: |row| {
        let sizes = row.iter().map(|byte| byte & 0x7f);
        to_f32(sizes.filter(|&size| size < 0x7c).max().unwrap_or(0))
    },
    // As a scale of about 2^-6, and each byte of it about 1.
    noise: [0x8383_8383, 0x3c3c_3c3c],
};

/// The largest finite value.
pub const MAX: f32 = 57344.0;

/// The value of a byte.
#[must_use]
pub fn to_f32(byte: u8) -> f32 {
    f16::from_bits(u16::from(byte) << 8).to_f32()
}

/// The byte of the nearest value, ties to even. Values beyond 57344 become 57344; NaN stays NaN.
#[must_use]
pub fn from_f32(value: f32) -> u8 {
    let sign = (value.to_bits() >> 24 & 0x80) as u8;
    let size = value.abs();
    if size.is_nan() {
        return sign | 0x7f;
    }
    if size >= MAX {
        return sign | 0x7b;
    }
    // Of two powers of two, the lower one's exponent; below 2^-14 the step is that of 2^-14.
    let exponent = (size.to_bits() >> 23).max(127 - 14);
    // Exact: a division by a power of two, and at most 8 after it.
    let steps = size / f32::from_bits((exponent - 2) << 23);
    // Steps count from 0 below 2^-14 and from 4 above; 8 of them carry into the exponent.
    sign | ((((exponent - 113) as u8) << 2) + steps.round_ties_even() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_between_two_go_to_the_nearer_of_two_as_near_to_the_even() {
        for byte in 0..0x7b_u8 {
            let (low, high) = (to_f32(byte), to_f32(byte + 1));
            let middle = (low + high) / 2.0;
            for (value, expected) in [
                (low, byte),
                (middle.next_down(), byte),
                (middle, byte + (byte & 1)),
                (middle.next_up(), byte + 1),
            ] {
                assert_eq!(from_f32(value), expected, "{value}");
                assert_eq!(from_f32(-value), expected | 0x80, "{}", -value);
            }
        }
        assert_eq!([MAX, 6e4, f32::INFINITY].map(from_f32), [0x7b; 3]);
        assert!(to_f32(from_f32(f32::NAN)).is_nan());
    }
}
