//! Blocks of 256 numbers as 6-bit integers, sixteen scales of 8 bits and an f16 factor of those,
//! along a row: `Q6_K` of GGUF.
//!
//! A block is 210 bytes: 128 of the integers' lower four bits, 64 of their upper two, 16 scales
//! (int8, one for 16 numbers), the factor, little endian. A number is (factor times scale) times
//! (integer - 32). Of 128 numbers the first 64 are the lower halves of 64 bytes, the others their
//! upper halves; bits 2 i and 2 i + 1 of upper-bit byte j belong to number 32 i + j. (Layout:
//! `block_q6_K` and `dequantize_row_q6_K` of ggml,
//! <https://github.com/ggml-org/ggml/blob/master/src/ggml-quants.c>)

use half::f16;

use super::format::weight_module;
use super::pack::{ROWS, largest, pack, spread, words};
use super::padded::padded;
use super::{Format, Layout};

/// Numbers of a block.
pub const BLOCK: usize = 256;

/// Bytes of a block.
pub const BLOCK_BYTES: usize = BLOCK / 2 + BLOCK / 4 + SCALES + 2;

/// Scales of a block.
const SCALES: usize = BLOCK / 16;

/// A block's bytes: lower bits, upper bits, scales, factor.
pub type Block = [u8; BLOCK_BYTES];

/// Words that the blocks of eight rows take on the device.
const WORDS: usize = (1 + SCALES / 4 + BLOCK / 8 + BLOCK / 16) * ROWS;

/// The row of the table.
pub const FORMAT: Format = Format {
    name: "Q6_K",
    block: BLOCK,
    size: BLOCK_BYTES,
    gguf: Some(14),
    safetensors: false,
    weight: weight_module!("weight/q6_k"),
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
    // As a factor 2^-15 of products of two integers.
    noise: [0x807f_ffff, 0x3800_0000],
};

/// The factor of a block's scales.
#[must_use]
pub fn factor(&[.., low, high]: &Block) -> f32 {
    f16::from_le_bytes([low, high]).to_f32()
}

/// The scales of a block, one for 16 numbers.
#[must_use]
pub fn scales(block: &Block) -> [i8; SCALES] {
    std::array::from_fn(|at| block[BLOCK / 2 + BLOCK / 4 + at] as i8)
}

/// The integers of a block, 0 to 63, in the order of the numbers.
#[must_use]
pub fn integers(block: &Block) -> [u8; BLOCK] {
    let (lower, upper) = block.split_at(BLOCK / 2);
    std::array::from_fn(|at| {
        let (half, within) = (at / 128, at % 128);
        let low = lower[half * 64 + within % 64] >> (within / 64 * 4) & 15;
        let high = upper[half * 32 + within % 32] >> (within / 32 * 2) & 3;
        low | high << 4
    })
}

/// Writes the block of row `row` (of eight) among those of the eight.
fn place(block: &Block, row: usize, to: &mut [u32]) {
    let (integers, rest) = block.split_at(BLOCK / 2 + BLOCK / 4);
    let head = [factor(block).to_bits()].into_iter();
    let scales = words(&rest[..SCALES]);
    spread(&mut to[row..], head.chain(scales).chain(words(integers)));
}

/// A bound on the size of the block's numbers.
fn bound(block: &Block) -> f32 {
    let scales = scales(block).into_iter();
    let scale = scales.map(i8::unsigned_abs).max().unwrap_or(0);
    32.0 * f32::from(scale) * factor(block).abs()
}

/// Values as blocks; zeros fill the last. Of 16 numbers the largest in size is 31 or -31. (ggml
/// looks for the scale that has the least error.)
#[must_use]
pub fn quantize(values: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len().div_ceil(BLOCK) * BLOCK_BYTES);
    for block in padded::<BLOCK>(values) {
        let spans: [f32; SCALES] = std::array::from_fn(|at| {
            let part = block[at * 16..][..16].iter();
            part.fold(0.0, |most: f32, v| most.max(v.abs())) / 31.0
        });
        let factor = f16::from_f32(spans.iter().copied().fold(0.0, f32::max) / 127.0);
        let scales = spans.map(|span| match factor.to_f32() {
            0.0 => 0,
            factor => (span / factor).round().min(127.0) as i8,
        });
        let integers: [u8; BLOCK] =
            std::array::from_fn(|at| match factor.to_f32() * f32::from(scales[at / 16]) {
                0.0 => 32,
                scale => ((block[at] / scale).round().clamp(-32.0, 31.0) + 32.0) as u8,
            });
        bytes.extend((0..BLOCK / 2).map(|at| {
            let low = at / 64 * 128 + at % 64;
            integers[low] & 15 | integers[low + 64] << 4
        }));
        bytes.extend((0..BLOCK / 4).map(|at| {
            let first = at / 32 * 128 + at % 32;
            (0..4).fold(0, |byte, i| byte | integers[first + i * 32] >> 4 << (2 * i))
        }));
        bytes.extend(scales.map(|scale| scale as u8));
        bytes.extend(factor.to_le_bytes());
    }
    bytes
}

/// The values of whole blocks, exact: 11 bits times 7 times 5 fit f32.
pub fn dequantize(blocks: &[u8]) -> impl Iterator<Item = f32> {
    blocks.as_chunks().0.iter().flat_map(|block| {
        let factor = factor(block);
        let scales = scales(block).map(|scale| factor * f32::from(scale));
        let integers = integers(block);
        let value = move |at: usize| scales[at / 16] * (f32::from(integers[at]) - 32.0);
        (0..BLOCK).map(value)
    })
}
