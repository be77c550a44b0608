//! Blocks of 256 numbers as 3-bit integers, sixteen scales of 6 bits and an f16 factor of those, along
//! a row: `Q3_K` of GGUF.
//!
//! A block is 110 bytes, little endian: 32 bytes of third bits, 64 of the lower two as in
//! [`q2_k`](super::q2_k), 12 of scales, the factor. Bit i of third-bit byte j belongs to number
//! 32 i + j. A number is (factor times (scale - 32)) times (integer - 4). (Layout: `Q3_K` of gguf-py,
//! <https://github.com/ggml-org/llama.cpp/blob/master/gguf-py/gguf/quants.py>)

use half::f16;

use super::fit;
use super::format::weight_module;
use super::pack::{ROWS, largest, pack, spread, words};
use super::padded::padded;
use super::q2_k::{packed_two, two_bits};
use super::{Format, Layout};

/// Numbers of a block.
pub const BLOCK: usize = 256;

/// Scales of a block.
const SCALES: usize = BLOCK / 16;

/// The offset of the scales.
const SCALES_AT: usize = BLOCK / 8 + BLOCK / 4;

/// Bytes of a block.
pub const BLOCK_BYTES: usize = SCALES_AT + 12 + 2;

/// A block's bytes: third bits, lower bits, scales, factor.
pub type Block = [u8; BLOCK_BYTES];

/// Words that the blocks of eight rows take on the device.
const WORDS: usize = (1 + SCALES / 4 + BLOCK / 32 + BLOCK / 16) * ROWS;

/// The row of the table.
pub const FORMAT: Format = Format {
    name: "Q3_K",
    block: BLOCK,
    size: BLOCK_BYTES,
    gguf: Some(11),
    safetensors: false,
    weight: weight_module!("weight/q3_k"),
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
    // As a factor of about 2^-12 of products of two integers.
    noise: [0x807f_ffff, 0x3980_0000],
};

/// The factor of a block's scales.
#[must_use]
pub fn factor(&[.., low, high]: &Block) -> f32 {
    f16::from_le_bytes([low, high]).to_f32()
}

/// The scales of a block, -32 to 31, one for 16 numbers.
#[must_use]
pub fn scales(block: &Block) -> [i8; SCALES] {
    // The lower four bits of scale j and of scale j + 8 are one byte, the upper two of four scales,
    // four apart, another.
    let packed = &block[SCALES_AT..];
    std::array::from_fn(|at| {
        let low = packed[at % 8] >> (at / 8 * 4) & 15;
        let high = packed[8 + at % 4] >> (at / 4 * 2) & 3;
        (low | high << 4) as i8 - 32
    })
}

/// The integers of a block, 0 to 7, in the order of the numbers.
#[must_use]
pub fn integers(block: &Block) -> [u8; BLOCK] {
    let lower = two_bits(&block[BLOCK / 8..]);
    std::array::from_fn(|at| lower[at] | (block[at % 32] >> (at / 32) & 1) << 2)
}

/// Writes the block of row `row` among those of eight rows: the factor as f32, the scales as bytes, then
/// the rest as in the file.
fn place(block: &Block, row: usize, to: &mut [u32]) {
    let head = [factor(block).to_bits()].into_iter();
    let scales = scales(block).map(|scale| scale as u8);
    let bits = words(&block[..SCALES_AT]);
    spread(&mut to[row..], head.chain(words(&scales)).chain(bits));
}

/// A bound on the size of the block's numbers.
fn bound(block: &Block) -> f32 {
    let scales = scales(block).into_iter();
    let scale = scales.map(i8::unsigned_abs).max().unwrap_or(0);
    4.0 * f32::from(scale) * factor(block).abs()
}

/// Values as blocks; zeros fill the last. The scale of 16 numbers is that of the least squared error.
#[must_use]
pub fn quantize(values: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len().div_ceil(BLOCK) * BLOCK_BYTES);
    for block in padded::<BLOCK>(values) {
        let fitted: [f32; SCALES] = std::array::from_fn(|at| {
            let nearest = |v: f32| v.round_ties_even().clamp(-4.0, 3.0);
            fit::scale(&block[at * 16..][..16], -4.0, -9..=9, nearest)
        });
        let larger = |most: f32, v: f32| if v.abs() > most.abs() { v } else { most };
        let factor = f16::from_f32(fitted.into_iter().fold(0.0, larger) / -32.0);
        let scales = fitted.map(|scale| match factor.to_f32() {
            0.0 => 0,
            factor => (scale / factor).round().clamp(-32.0, 31.0) as i8,
        });
        let integers: [u8; BLOCK] =
            std::array::from_fn(|at| match factor.to_f32() * f32::from(scales[at / 16]) {
                0.0 => 4,
                scale => ((block[at] / scale).round().clamp(-4.0, 3.0) + 4.0) as u8,
            });
        let third = |at: usize| (0..8).fold(0, |byte, i| byte | integers[i * 32 + at] >> 2 << i);
        bytes.extend((0..BLOCK / 8).map(third));
        bytes.extend(packed_two(&integers));
        let six = scales.map(|scale| (scale + 32) as u8);
        bytes.extend((0..8).map(|at| six[at] & 15 | six[at + 8] << 4));
        bytes.extend(
            (0..4).map(|at| (0..4).fold(0, |byte, i| byte | six[at + i * 4] >> 4 << (2 * i))),
        );
        bytes.extend(factor.to_le_bytes());
    }
    bytes
}

/// The values of whole blocks, exact: 11 bits times 5 times 2 fit f32.
pub fn dequantize(blocks: &[u8]) -> impl Iterator<Item = f32> {
    blocks.as_chunks().0.iter().flat_map(|block| {
        let factor = factor(block);
        let scales = scales(block).map(|scale| factor * f32::from(scale));
        let integers = integers(block);
        let value = move |at: usize| scales[at / 16] * (f32::from(integers[at]) - 4.0);
        (0..BLOCK).map(value)
    })
}
