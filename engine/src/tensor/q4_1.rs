//! Blocks of 32 numbers as 4-bit integers, an f16 scale and an f16 minimum, along a row: `Q4_1` of
//! GGUF.
//!
//! A block is 20 bytes, little endian: scale, minimum, integers as in [`q4_0`](super::q4_0). A number
//! is scale times integer plus minimum. (Layout and rounding: `Q4_1` of gguf-py,
//! <https://github.com/ggml-org/llama.cpp/blob/master/gguf-py/gguf/quants.py>)

use half::f16;

use super::affine::{factors, halves, spans};
use super::format::weight_module;
use super::pack::{ROWS, largest, pack, spread, words};
use super::padded::padded;
use super::{Format, Layout};

/// Numbers of a block.
pub const BLOCK: usize = 32;

/// Bytes of a block.
pub const BLOCK_BYTES: usize = 4 + BLOCK / 2;

/// A block's bytes: scale, minimum, integers.
pub type Block = [u8; BLOCK_BYTES];

/// Words that the blocks of eight rows take on the device.
const WORDS: usize = (1 + BLOCK / 8) * ROWS;

/// The row of the table.
pub const FORMAT: Format = Format {
    name: "Q4_1",
    block: BLOCK,
    size: BLOCK_BYTES,
    gguf: Some(3),
    safetensors: false,
    weight: weight_module!("weight/q4_1"),
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
    // As a scale and a minimum of about 2^-7.
    noise: [0x83ff_83ff, 0x2000_2000],
};

/// The integers of a block, 0 to 15, in the order of the numbers.
#[must_use]
pub fn integers(block: &Block) -> [u8; BLOCK] {
    halves(&block[4..])
}

/// Writes the block of row `row` among those of eight rows, in the file's layout.
fn place(block: &Block, row: usize, to: &mut [u32]) {
    spread(&mut to[row..], words(block));
}

/// A bound on the size of the block's numbers.
fn bound(block: &Block) -> f32 {
    let (scale, minimum) = factors(block);
    (15.0 * scale + minimum).abs().max(minimum.abs())
}

/// Values as blocks; zeros fill the last. A block's smallest becomes 0, its largest 15, the others
/// are rounded to the nearest integer.
#[must_use]
pub fn quantize(values: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len().div_ceil(BLOCK) * BLOCK_BYTES);
    for block in padded::<BLOCK>(values) {
        let (scale, minimum, integers) = spans(&block, 15.0);
        bytes.extend([scale, minimum].map(f16::to_le_bytes).as_flattened());
        let (low, high) = integers.split_at(BLOCK / 2);
        bytes.extend(low.iter().zip(high).map(|(low, high)| low | high << 4));
    }
    bytes
}

/// The values of whole blocks, rounded once: products of 11 bits and 4 are exact.
pub fn dequantize(blocks: &[u8]) -> impl Iterator<Item = f32> {
    blocks.as_chunks().0.iter().flat_map(|block| {
        let (scale, minimum) = factors(block);
        integers(block).map(|q| scale * f32::from(q) + minimum)
    })
}
