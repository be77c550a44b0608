//! Numbers stored without encoding: `F32`, `F16`, `BF16`, and `U32` for indices.

use half::{bf16, f16};

use super::format::weight_module;
use super::{Format, Layout};

/// IEEE 754 binary32.
pub(super) const F32: Format = Format {
    name: "F32",
    block: 1,
    size: 4,
    gguf: Some(0),
    safetensors: true,
    weight: weight_module!("weight"),
    layout: Layout::Elements,
    scaled: None,
    exceeds_f16: true,
    read: |bytes, to| to.extend(words(bytes).map(f32::from_bits)),
    write: |values| values.iter().flat_map(|v| v.to_le_bytes()).collect(),
    target: true,
    largest: |row| {
        let sizes = words(row).map(|word| word & 0x7fff_ffff);
        f32::from_bits(sizes.filter(|&size| size < 0x7f80_0000).max().unwrap_or(0))
    },
    noise: [0x807f_ffff, 0x3d00_0000],
};

/// IEEE 754 binary16.
pub(super) const F16: Format = Format {
    name: "F16",
    block: 1,
    size: 2,
    gguf: Some(1),
    safetensors: true,
    weight: weight_module!("weight/f16"),
    layout: Layout::Elements,
    scaled: None,
    exceeds_f16: false,
    read: |bytes, to| to.extend(halves(bytes).map(|half| f16::from_bits(half).to_f32())),
    write: |values| {
        let halves = values.iter().map(|&value| f16::from_f32(value));
        halves.flat_map(f16::to_le_bytes).collect()
    },
    target: true,
    largest: |row| {
        let sizes = halves(row).map(|half| half & 0x7fff);
        let largest = sizes.filter(|&size| size < 0x7c00).max().unwrap_or(0);
        f16::from_bits(largest).to_f32()
    },
    noise: [0x87ff_87ff, 0x2800_2800],
};

/// The upper half of an [`F32`].
pub(super) const BF16: Format = Format {
    name: "BF16",
    block: 1,
    size: 2,
    gguf: Some(30),
    safetensors: true,
    weight: weight_module!("weight/bf16"),
    layout: Layout::Elements,
    scaled: None,
    exceeds_f16: true,
    read: |bytes, to| to.extend(halves(bytes).map(|half| bf16::from_bits(half).to_f32())),
    write: |values| {
        let halves = values.iter().map(|&value| bf16::from_f32(value));
        halves.flat_map(bf16::to_le_bytes).collect()
    },
    target: true,
    largest: |row| {
        let sizes = halves(row).map(|half| half & 0x7fff);
        let largest = sizes.filter(|&size| size < 0x7f80).max().unwrap_or(0);
        bf16::from_bits(largest).to_f32()
    },
    noise: [0x80ff_80ff, 0x3d00_3d00],
};

/// Indices and packed words: no weight.
pub(super) const U32: Format = Format {
    name: "U32",
    block: 1,
    size: 4,
    gguf: None,
    safetensors: true,
    weight: None,
    layout: Layout::Elements,
    scaled: None,
    exceeds_f16: false,
    read: |bytes, to| to.extend(words(bytes).map(|word| word as f32)),
    write: |values| {
        values
            .iter()
            .flat_map(|&v| (v as u32).to_le_bytes())
            .collect()
    },
    target: false,
    largest: |row| words(row).max().unwrap_or(0) as f32,
    noise: [0, 0],
};

fn words(bytes: &[u8]) -> impl Iterator<Item = u32> {
    let words = bytes.as_chunks().0.iter();
    words.map(|&word| u32::from_le_bytes(word))
}

fn halves(bytes: &[u8]) -> impl Iterator<Item = u16> {
    let halves = bytes.as_chunks().0.iter();
    halves.map(|&half| u16::from_le_bytes(half))
}
