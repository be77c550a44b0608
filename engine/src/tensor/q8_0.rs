//! Blocks of 32 numbers as int8 and one f16 scale, along a row: `Q8_0` of GGUF.
//!
//! A block is 34 bytes, the scale before the integers, little endian; a number is scale times
//! integer. (Layout and rounding: `block_q8_0` and `quantize_row_q8_0_ref` of ggml,
//! <https://github.com/ggml-org/ggml/blob/master/src/ggml-quants.c>)

use half::f16;

use super::format::weight_module;
use super::pack::{ROWS, largest, pack, spread, words};
use super::{Format, Layout};

/// Numbers of a block.
pub const BLOCK: usize = 32;

/// Bytes of a block.
pub const BLOCK_BYTES: usize = 2 + BLOCK;

/// A block's bytes: scale, integers.
pub type Block = [u8; BLOCK_BYTES];

/// Words that the blocks of eight rows take on the device.
const WORDS: usize = (1 + BLOCK / 4) * ROWS;

/// The row of the table.
pub const FORMAT: Format = Format {
    name: "Q8_0",
    block: BLOCK,
    size: BLOCK_BYTES,
    gguf: Some(8),
    safetensors: false,
    weight: weight_module!("weight/q8_0"),
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
    // As a scale 2^-11, and each byte of it an integer.
    noise: [0x807f_ffff, 0x3a00_0000],
};

/// The scale of a block.
#[must_use]
pub fn scale(&[low, high, ..]: &Block) -> f32 {
    f16::from_le_bytes([low, high]).to_f32()
}

/// Writes the block of row `row` (of eight) among those of the eight.
fn place(block: &Block, row: usize, to: &mut [u32]) {
    let scale = scale(block).to_bits();
    spread(
        &mut to[row..],
        [scale].into_iter().chain(words(&block[2..])),
    );
}

/// A bound on the size of the block's numbers: no integer is larger than 128.
fn bound(block: &Block) -> f32 {
    128.0 * scale(block).abs()
}

/// Values as blocks; zeros fill the last. The largest of a block becomes 127, the others are
/// rounded to the nearest integer. Blocks with a value beyond 127 times the largest f16 (8.3e6)
/// have an infinite scale.
#[must_use]
pub fn quantize(values: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len().div_ceil(BLOCK) * BLOCK_BYTES);
    for block in values.chunks(BLOCK) {
        let largest = block.iter().fold(0.0, |most: f32, v| most.max(v.abs()));
        let scale = largest / 127.0;
        // By the scale before it is rounded to f16, as ggml does.
        let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        bytes.extend(f16::from_f32(scale).to_le_bytes());
        let integers = block.iter().map(|v| (v * inverse).round() as i8);
        bytes.extend(integers.map(|q| q as u8));
        bytes.resize(bytes.len().next_multiple_of(BLOCK_BYTES), 0);
    }
    bytes
}

/// The values of whole blocks, exact: seven bits times eleven fit f32.
pub fn dequantize(blocks: &[u8]) -> impl Iterator<Item = f32> {
    blocks
        .as_chunks::<BLOCK_BYTES>()
        .0
        .iter()
        .flat_map(|block| {
            let scale = scale(block);
            block[2..].iter().map(move |&q| scale * f32::from(q as i8))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_a_scale_and_the_nearest_integers() {
        let mut values = vec![0.0; BLOCK];
        values[..5].copy_from_slice(&[-254.0, 1.0, 2.9, 3.1, 127.0]);
        // A block of zeros, and one that is not full.
        values.extend([0.0; BLOCK]);
        values.push(12.7);
        let bytes = quantize(&values);
        assert_eq!(bytes.len(), 3 * BLOCK_BYTES);
        // 2.0 in f16, then -127, 0.5 away from zero, 1.45, 1.55, 63.5 away from zero.
        assert_eq!(bytes[..7], [0x00, 0x40, 0x81, 1, 1, 2, 64]);
        let found: Vec<f32> = dequantize(&bytes).collect();
        assert_eq!(found[..5], [-254.0, 2.0, 2.0, 4.0, 128.0]);
        assert!(found[5..2 * BLOCK].iter().all(|&v| v == 0.0));
        assert!((found[2 * BLOCK] - 12.7).abs() < 12.7 / 2048.0);
        assert!(found[2 * BLOCK + 1..].iter().all(|&v| v == 0.0));
    }
}
