//! Blocks of 32 numbers as 5-bit integers and one f16 scale, along a row: `Q5_0` of GGUF.
//!
//! A block is 22 bytes, little endian: scale, 32 fifth bits, the lower four as in
//! [`q4_0`](super::q4_0). A number is scale times (integer - 16). (Layout and rounding: `Q5_0` of
//! gguf-py, <https://github.com/ggml-org/llama.cpp/blob/master/gguf-py/gguf/quants.py>)

use half::f16;

use super::affine::{factors, five_bits, packed_five};
use super::format::weight_module;
use super::pack::{ROWS, largest, pack, spread, words};
use super::padded::padded;
use super::{Format, Layout};

/// Numbers of a block.
pub const BLOCK: usize = 32;

/// Bytes of a block.
pub const BLOCK_BYTES: usize = 2 + 4 + BLOCK / 2;

/// A block's bytes: scale, fifth bits, lower bits.
pub type Block = [u8; BLOCK_BYTES];

/// Words that the blocks of eight rows take on the device.
const WORDS: usize = (2 + BLOCK / 8) * ROWS;

/// The row of the table.
pub const FORMAT: Format = Format {
    name: "Q5_0",
    block: BLOCK,
    size: BLOCK_BYTES,
    gguf: Some(6),
    safetensors: false,
    weight: weight_module!("weight/q5_0"),
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
    // As a scale of about 2^-8.
    noise: [0x807f_ffff, 0x3b80_0000],
};

/// The scale of a block.
#[must_use]
pub fn scale(block: &Block) -> f32 {
    factors(block).0
}

/// The integers of a block, 0 to 31, in the order of the numbers.
#[must_use]
pub fn integers(block: &Block) -> [u8; BLOCK] {
    five_bits(&block[2..])
}

/// Writes the block of row `row` among those of eight rows: the scale as f32, then the rest as in the
/// file.
fn place(block: &Block, row: usize, to: &mut [u32]) {
    let scale = scale(block).to_bits();
    spread(
        &mut to[row..],
        [scale].into_iter().chain(words(&block[2..])),
    );
}

/// A bound on the size of the block's numbers.
fn bound(block: &Block) -> f32 {
    16.0 * scale(block).abs()
}

/// Values as blocks; zeros fill the last. The largest of a block in size becomes -16, the others are
/// rounded to the nearest integer up to 15.
#[must_use]
pub fn quantize(values: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len().div_ceil(BLOCK) * BLOCK_BYTES);
    for block in padded::<BLOCK>(values) {
        let larger = |most: f32, &v: &f32| if v.abs() > most.abs() { v } else { most };
        let scale = block.iter().fold(0.0, larger) / -16.0;
        // By the scale before it is rounded to f16, as gguf-py does.
        let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
        let integers = block.map(|v| ((v * inverse + 16.5) as u8).min(31));
        bytes.extend(f16::from_f32(scale).to_le_bytes());
        bytes.extend(packed_five(&integers));
    }
    bytes
}

/// The values of whole blocks, exact: five bits times eleven fit f32.
pub fn dequantize(blocks: &[u8]) -> impl Iterator<Item = f32> {
    blocks.as_chunks().0.iter().flat_map(|block| {
        let scale = scale(block);
        integers(block).map(|q| scale * (f32::from(q) - 16.0))
    })
}
