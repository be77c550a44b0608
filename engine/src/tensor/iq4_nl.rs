//! Blocks of 32 numbers as 4-bit codes of uneven values and one f16 scale, along a row: `IQ4_NL` of
//! GGUF.
//!
//! A block is 18 bytes: scale and codes as in [`q4_0`](super::q4_0). A number is the scale times the
//! code's value; values are denser near zero. (Layout and values: `IQ4_NL` of gguf-py,
//! <https://github.com/ggml-org/llama.cpp/blob/master/gguf-py/gguf/quants.py>)

use half::f16;

use super::affine::{factors, halves};
use super::fit;
use super::format::weight_module;
use super::pack::{ROWS, largest, pack, spread, words};
use super::padded::padded;
use super::{Format, Layout};

/// Numbers of a block.
pub const BLOCK: usize = 32;

/// Bytes of a block.
pub const BLOCK_BYTES: usize = 2 + BLOCK / 2;

/// A block's bytes: scale, codes.
pub type Block = [u8; BLOCK_BYTES];

/// The values of the codes 0 to 15.
pub const VALUES: [i8; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];

/// Words that the blocks of eight rows take on the device.
const WORDS: usize = ROWS / 2 + BLOCK / 8 * ROWS;

/// The row of the table.
pub const FORMAT: Format = Format {
    name: "IQ4_NL",
    block: BLOCK,
    size: BLOCK_BYTES,
    gguf: Some(20),
    safetensors: false,
    weight: weight_module!("weight/iq4_nl"),
    layout: Layout::Blocks {
        words: WORDS,
        pack: |bytes, rows, to| pack(bytes, rows, WORDS, to, place),
    },
    scaled: None,
    exceeds_f16: true,
    read: |bytes, to| to.extend(dequantize(bytes)),
    write: quantize,
    target: true,
    largest: |row| largest(row, bound),
    // As two scales of about 2^-11.
    noise: [0x83ff_83ff, 0x1000_1000],
};

/// The codes of a block, 0 to 15, in the order of the numbers.
#[must_use]
pub fn codes(block: &Block) -> [u8; BLOCK] {
    halves(&block[2..])
}

/// The value of a code.
pub(super) fn value(code: u8) -> f32 {
    f32::from(VALUES[usize::from(code & 15)])
}

/// The code whose value is nearest.
pub(super) fn code(value: f32) -> u8 {
    let above = VALUES.partition_point(|&v| f32::from(v) < value);
    let [low, high] = [above.saturating_sub(1), above.min(15)];
    let lower = value - f32::from(VALUES[low]) < f32::from(VALUES[high]) - value;
    if lower { low as u8 } else { high as u8 }
}

/// The scale of the least squared error.
pub(super) fn fitted(values: &[f32]) -> f32 {
    fit::scale(values, -127.0, -70..=70, |v| value(code(v)))
}

/// Writes the block of row `row` (of eight) among those of the eight.
fn place(block: &Block, row: usize, to: &mut [u32]) {
    let [low, high, codes @ ..] = block;
    // Two rows share a word.
    to[row / 2] |= u32::from(u16::from_le_bytes([*low, *high])) << (row % 2 * 16);
    spread(&mut to[ROWS / 2 + row..], words(codes));
}

/// A bound on the size of the block's numbers.
fn bound(block: &Block) -> f32 {
    127.0 * factors(block).0.abs()
}

/// Values as blocks; zeros fill the last.
#[must_use]
pub fn quantize(values: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len().div_ceil(BLOCK) * BLOCK_BYTES);
    for block in padded::<BLOCK>(values) {
        let scale = f16::from_f32(fitted(&block));
        bytes.extend(scale.to_le_bytes());
        let inverse = match scale.to_f32() {
            0.0 => 0.0,
            scale => 1.0 / scale,
        };
        let codes = block.map(|v| code(v * inverse));
        let (low, high) = codes.split_at(BLOCK / 2);
        bytes.extend(low.iter().zip(high).map(|(low, high)| low | high << 4));
    }
    bytes
}

/// The values of whole blocks, exact: eleven bits times seven fit f32.
pub fn dequantize(blocks: &[u8]) -> impl Iterator<Item = f32> {
    blocks.as_chunks().0.iter().flat_map(|block: &Block| {
        let scale = factors(block).0;
        codes(block).map(|code| scale * value(code))
    })
}
