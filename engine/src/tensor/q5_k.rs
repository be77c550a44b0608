//! Blocks of 256 numbers as 5-bit integers, else as [`q4_k`](super::q4_k): `Q5_K` of GGUF.
//!
//! A block is 176 bytes: 16 as in `Q4_K`, 32 bytes of fifth bits, 128 of the lower four. Bit i of
//! fifth-bit byte j belongs to number 32 i + j. (Layout: `block_q5_K` and `dequantize_row_q5_K` of
//! ggml, <https://github.com/ggml-org/ggml/blob/master/src/ggml-quants.c>)

use super::format::weight_module;
use super::pack::{ROWS, largest, pack, spread, words};
use super::padded::padded;
use super::q4_k::{HEAD_BYTES, Head, lower_bits, packed};
use super::{Format, Layout};

/// Numbers of a block.
pub const BLOCK: usize = 256;

/// Bytes of a block.
pub const BLOCK_BYTES: usize = HEAD_BYTES + BLOCK / 8 + BLOCK / 2;

/// A block's bytes: factors, scales and minima, fifth bits, lower bits.
pub type Block = [u8; BLOCK_BYTES];

/// Words that the blocks of eight rows take on the device.
const WORDS: usize = (5 + BLOCK / 32 + BLOCK / 8) * ROWS;

/// The row of the table.
pub const FORMAT: Format = Format {
    name: "Q5_K",
    block: BLOCK,
    size: BLOCK_BYTES,
    gguf: Some(13),
    safetensors: false,
    weight: weight_module!("weight/q5_k"),
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
    // As two factors of about 2^-12.
    noise: [0x83ff_83ff, 0x0c00_0c00],
};

/// The scales of a block.
#[must_use]
pub fn head(block: &Block) -> Head {
    Head::of(block.first_chunk().unwrap_or(&[0; 16]))
}

/// The integers of a block, 0 to 31, in the order of the numbers.
#[must_use]
pub fn integers(block: &Block) -> [u8; BLOCK] {
    let (fifth, lower) = block[HEAD_BYTES..].split_at(BLOCK / 8);
    let lower = lower_bits(lower);
    std::array::from_fn(|at| lower[at] | (fifth[at % 32] >> (at / 32) & 1) << 4)
}

/// Writes the block of row `row` (of eight) among those of the eight.
fn place(block: &Block, row: usize, to: &mut [u32]) {
    let head = head(block).words();
    spread(&mut to[row..], head.chain(words(&block[HEAD_BYTES..])));
}

/// A bound on the size of the block's numbers.
fn bound(block: &Block) -> f32 {
    head(block).bound(31.0)
}

/// Values as blocks; zeros fill the last.
#[must_use]
pub fn quantize(values: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len().div_ceil(BLOCK) * BLOCK_BYTES);
    for block in padded::<BLOCK>(values) {
        let head = Head::fit(&block, 31.0);
        let integers = head.integers_of(&block, 31.0);
        bytes.extend(head.to_bytes());
        let fifth = |at: usize| (0..8).fold(0, |byte, i| byte | integers[i * 32 + at] >> 4 << i);
        bytes.extend((0..BLOCK / 8).map(fifth));
        bytes.extend(packed(&integers));
    }
    bytes
}

/// The values of whole blocks.
pub fn dequantize(blocks: &[u8]) -> impl Iterator<Item = f32> {
    let blocks = blocks.as_chunks().0.iter();
    blocks.flat_map(|block| head(block).values(integers(block)))
}
