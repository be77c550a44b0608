//! 8-bit integers with a separate scale, one for a whole matrix or one per row, as in int8 files
//! (`int8_tensorwise` of ComfyUI, `qint8` of optimum-quanto).

use super::format::weight_module;
use super::{Format, Layout};

/// The row of the table. An `I8` tensor of safetensors has this format only with a scale tensor, which
/// the reader of scales finds.
pub const FORMAT: Format = Format {
    name: "I8",
    block: 1,
    size: 1,
    gguf: None,
    safetensors: false,
    weight: weight_module!("weight/int8"),
    layout: Layout::Bytes { broken: |_| false },
    scaled: Some(127.0),
    exceeds_f16: true,
    read: |bytes, to| to.extend(bytes.iter().map(|&byte| f32::from(byte as i8))),
    write: |values| {
        let integers = values.iter().map(|value| value.round_ties_even());
        integers.map(|q| (q as i8).max(-127) as u8).collect()
    },
    // Q8_0 holds weights better in nearly as many bits.
    target: false,
    largest: |row| {
        let sizes = row.iter().map(|&byte| (byte as i8).unsigned_abs());
        f32::from(sizes.max().unwrap_or(0))
    },
    // As a scale 2^-11, and each byte of it an integer.
    noise: [0x807f_ffff, 0x3a00_0000],
};
