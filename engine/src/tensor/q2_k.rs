//! Blocks of 256 numbers as 2-bit integers, sixteen scales and minima of 4 bits, and an f16 factor
//! for each of the two, along a row: `Q2_K` of GGUF.
//!
//! A block is 84 bytes, little endian: 16 bytes of scales (lower halves) and minima (upper halves),
//! the integers, the factor of the scales, that of the minima. A number is (factor times scale) times
//! integer less (factor times minimum). Bits 2 i and 2 i + 1 of byte j belong to number 32 i + j, of
//! 128 numbers each. (Layout: `Q2_K` of gguf-py,
//! <https://github.com/ggml-org/llama.cpp/blob/master/gguf-py/gguf/quants.py>)

use half::f16;

use super::fit;
use super::format::weight_module;
use super::pack::{ROWS, largest, pack, spread, words};
use super::padded::padded;
use super::{Format, Layout};

/// Numbers of a block.
pub const BLOCK: usize = 256;

/// Scales of a block.
const SCALES: usize = BLOCK / 16;

/// Bytes of a block.
pub const BLOCK_BYTES: usize = SCALES + BLOCK / 4 + 4;

/// A block's bytes: scales and minima, integers, factors.
pub type Block = [u8; BLOCK_BYTES];

/// Words that the blocks of eight rows take on the device.
const WORDS: usize = (1 + SCALES / 4 + BLOCK / 16) * ROWS;

/// The row of the table.
pub const FORMAT: Format = Format {
    name: "Q2_K",
    block: BLOCK,
    size: BLOCK_BYTES,
    gguf: Some(10),
    safetensors: false,
    weight: weight_module!("weight/q2_k"),
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
    // As two factors of about 2^-8.
    noise: [0x83ff_83ff, 0x1c00_1c00],
};

/// Scale and minimum of each 16 numbers: products of 11 bits and 4, exact.
fn factors(block: &Block) -> [(f32, f32); SCALES] {
    let [.., d0, d1, m0, m1] = *block;
    let [scale, minimum] = [[d0, d1], [m0, m1]].map(|half| f16::from_le_bytes(half).to_f32());
    std::array::from_fn(|at| {
        let both = block[at];
        (scale * f32::from(both & 15), minimum * f32::from(both >> 4))
    })
}

/// 2-bit integers in the order of the numbers.
pub(super) fn two_bits(bytes: &[u8]) -> [u8; BLOCK] {
    std::array::from_fn(|at| bytes[at / 128 * 32 + at % 32] >> (at / 32 % 4 * 2) & 3)
}

/// The bytes of 2-bit integers.
pub(super) fn packed_two(integers: &[u8; BLOCK]) -> [u8; BLOCK / 4] {
    std::array::from_fn(|at| {
        let first = at / 32 * 128 + at % 32;
        (0..4).fold(0, |byte, i| {
            byte | (integers[first + i * 32] & 3) << (2 * i)
        })
    })
}

/// Writes the block of row `row` among those of eight rows: the factors, then the rest as in the file.
fn place(block: &Block, row: usize, to: &mut [u32]) {
    let (rest, factors) = block.split_at(SCALES + BLOCK / 4);
    spread(&mut to[row..], words(factors).chain(words(rest)));
}

/// A bound on the size of the block's numbers.
fn bound(block: &Block) -> f32 {
    let bounds =
        factors(block).map(|(scale, minimum)| (3.0 * scale - minimum).abs().max(minimum.abs()));
    bounds.into_iter().fold(0.0, f32::max)
}

/// Values as blocks; zeros fill the last. Scale and minimum of 16 numbers are those of the least
/// squared error.
#[must_use]
pub fn quantize(values: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len().div_ceil(BLOCK) * BLOCK_BYTES);
    for block in padded::<BLOCK>(values) {
        let fitted: [(f32, f32); SCALES] =
            std::array::from_fn(|at| fit::scale_and_minimum(&block[at * 16..][..16], 3.0));
        let unit = |of: fn(&(f32, f32)) -> f32| {
            f16::from_f32(fitted.iter().map(of).fold(0.0, f32::max) / 15.0)
        };
        let units = [unit(|fit| fit.0), unit(|fit| fit.1)];
        let part = |value: f32, unit: f16| match unit.to_f32() {
            0.0 => 0,
            unit => (value / unit).round().clamp(0.0, 15.0) as u8,
        };
        let mut written: Block = [0; BLOCK_BYTES];
        for (byte, (scale, minimum)) in written.iter_mut().zip(fitted) {
            *byte = part(scale, units[0]) | part(minimum, units[1]) << 4;
        }
        let (_, factors_at) = written.split_at_mut(SCALES + BLOCK / 4);
        factors_at.copy_from_slice(units.map(f16::to_le_bytes).as_flattened());
        let factors = factors(&written);
        let integers: [u8; BLOCK] = std::array::from_fn(|at| match factors[at / 16] {
            (0.0, _) => 0,
            (scale, minimum) => ((block[at] + minimum) / scale).round().clamp(0.0, 3.0) as u8,
        });
        written[SCALES..SCALES + BLOCK / 4].copy_from_slice(&packed_two(&integers));
        bytes.extend(written);
    }
    bytes
}

/// The values of whole blocks, rounded once.
pub fn dequantize(blocks: &[u8]) -> impl Iterator<Item = f32> {
    blocks.as_chunks().0.iter().flat_map(|block| {
        let factors = factors(block);
        let integers = two_bits(&block[SCALES..]);
        let value =
            move |at: usize| factors[at / 16].0 * f32::from(integers[at]) - factors[at / 16].1;
        (0..BLOCK).map(value)
    })
}
