//! Blocks of 32 numbers as 4-bit integers and one f16 scale, along a row: `Q4_0` of GGUF.
//!
//! A block is 18 bytes, the scale before the integers, little endian. Byte j holds number j in its
//! lower half and number j + 16 in its upper; a number is scale times (integer - 8). (Layout:
//! `block_q4_0` and `dequantize_row_q4_0` of ggml,
//! <https://github.com/ggml-org/ggml/blob/master/src/ggml-quants.c>)

use half::f16;

use super::format::weight_module;
use super::pack::{ROWS, largest, pack, spread, words};
use super::padded::padded;
use super::{Format, Layout};

/// Numbers of a block.
pub const BLOCK: usize = 32;

/// Bytes of a block.
pub const BLOCK_BYTES: usize = 2 + BLOCK / 2;

/// A block's bytes: scale, integers.
pub type Block = [u8; BLOCK_BYTES];

/// Words that the blocks of eight rows take on the device.
const WORDS: usize = ROWS / 2 + BLOCK / 8 * ROWS;

/// The row of the table.
pub const FORMAT: Format = Format {
    name: "Q4_0",
    block: BLOCK,
    size: BLOCK_BYTES,
    gguf: Some(2),
    safetensors: false,
    weight: weight_module!("weight/q4_0"),
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
    // As two scales of about 2^-7.
    noise: [0x83ff_83ff, 0x2000_2000],
};

/// The scale of a block.
#[must_use]
pub fn scale(&[low, high, ..]: &Block) -> f16 {
    f16::from_le_bytes([low, high])
}

/// The integers of a block, 0 to 15, in the order of the numbers.
#[must_use]
pub fn integers(block: &Block) -> [u8; BLOCK] {
    std::array::from_fn(|at| block[2 + at % 16] >> (at / 16 * 4) & 15)
}

/// Writes the block of row `row` (of eight) among those of the eight.
fn place(block: &Block, row: usize, to: &mut [u32]) {
    // Two rows share a word.
    to[row / 2] |= u32::from(scale(block).to_bits()) << (row % 2 * 16);
    spread(&mut to[ROWS / 2 + row..], words(&block[2..]));
}

/// A bound on the size of the block's numbers.
fn bound(block: &Block) -> f32 {
    8.0 * scale(block).to_f32().abs()
}

/// Values as blocks; zeros fill the last. The largest of a block in size becomes -8, the others are
/// rounded to the nearest integer up to 7 (the reference's rounding: as ggml's
/// `quantize_row_q4_0_ref`, which judges no error).
#[must_use]
pub fn quantize(values: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len().div_ceil(BLOCK) * BLOCK_BYTES);
    for block in padded::<BLOCK>(values) {
        let larger = |most: f32, &v: &f32| if v.abs() > most.abs() { v } else { most };
        let scale = block.iter().fold(0.0, larger) / -8.0;
        // By the scale before it is rounded to f16, as ggml does.
        let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
        let integers = block.map(|v| ((v * inverse + 8.5) as u8).min(15));
        bytes.extend(f16::from_f32(scale).to_le_bytes());
        let (low, high) = integers.split_at(BLOCK / 2);
        bytes.extend(low.iter().zip(high).map(|(low, high)| low | high << 4));
    }
    bytes
}

/// The values of whole blocks, exact: four bits times eleven fit f32.
pub fn dequantize(blocks: &[u8]) -> impl Iterator<Item = f32> {
    blocks.as_chunks().0.iter().flat_map(|block| {
        let scale = scale(block).to_f32();
        integers(block).map(|q| scale * (f32::from(q) - 8.0))
    })
}
