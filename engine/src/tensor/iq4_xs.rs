//! Blocks of 256 numbers as 4-bit codes of uneven values, eight scales of 6 bits and an f16 factor of
//! those, along a row: `IQ4_XS` of GGUF.
//!
//! A block is 136 bytes, little endian: the factor, the scales' upper two bits as one u16, their lower
//! four in four bytes, the codes of each 32 numbers as in [`iq4_nl`](super::iq4_nl). A number is
//! (factor times (scale - 32)) times the code's value. (Layout: `IQ4_XS` of gguf-py,
//! <https://github.com/ggml-org/llama.cpp/blob/master/gguf-py/gguf/quants.py>)

use half::f16;

use super::affine::{factors, halves};
use super::format::weight_module;
use super::iq4_nl::{code, fitted, value};
use super::pack::{ROWS, largest, pack, spread, words};
use super::padded::padded;
use super::{Format, Layout};

/// Numbers of a block.
pub const BLOCK: usize = 256;

/// Scales of a block.
const SCALES: usize = BLOCK / 32;

/// Bytes before the codes.
const HEAD_BYTES: usize = 2 + 2 + SCALES / 2;

/// Bytes of a block.
pub const BLOCK_BYTES: usize = HEAD_BYTES + BLOCK / 2;

/// A block's bytes: factor, scales, codes.
pub type Block = [u8; BLOCK_BYTES];

/// Words that the blocks of eight rows take on the device.
const WORDS: usize = (1 + SCALES / 4 + BLOCK / 8) * ROWS;

/// The row of the table.
pub const FORMAT: Format = Format {
    name: "IQ4_XS",
    block: BLOCK,
    size: BLOCK_BYTES,
    gguf: Some(23),
    safetensors: false,
    weight: weight_module!("weight/iq4_xs"),
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
    // As a factor of about 2^-17 of products of two integers.
    noise: [0x807f_ffff, 0x3700_0000],
};

/// The scales of a block, -32 to 31, one for 32 numbers.
#[must_use]
pub fn scales(block: &Block) -> [i8; SCALES] {
    let [_, _, h0, h1, low @ ..] = block;
    let high = u16::from_le_bytes([*h0, *h1]);
    std::array::from_fn(|at| {
        let low = low[at / 2] >> (at % 2 * 4) & 15;
        (low | ((high >> (2 * at) & 3) as u8) << 4) as i8 - 32
    })
}

/// Writes the block of row `row` among those of eight rows: the factor as f32, the scales as bytes, then
/// the rest as in the file.
fn place(block: &Block, row: usize, to: &mut [u32]) {
    let head = [factors(block).0.to_bits()].into_iter();
    let scales = scales(block).map(|scale| scale as u8);
    let codes = words(&block[HEAD_BYTES..]);
    spread(&mut to[row..], head.chain(words(&scales)).chain(codes));
}

/// A bound on the size of the block's numbers.
fn bound(block: &Block) -> f32 {
    let scales = scales(block).into_iter();
    let scale = scales.map(i8::unsigned_abs).max().unwrap_or(0);
    127.0 * f32::from(scale) * factors(block).0.abs()
}

/// Values as blocks; zeros fill the last.
#[must_use]
pub fn quantize(values: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len().div_ceil(BLOCK) * BLOCK_BYTES);
    for block in padded::<BLOCK>(values) {
        let fitted: [f32; SCALES] = std::array::from_fn(|at| fitted(&block[at * 32..][..32]));
        let larger = |most: f32, v: f32| if v.abs() > most.abs() { v } else { most };
        let factor = f16::from_f32(fitted.into_iter().fold(0.0, larger) / -32.0);
        let scales = fitted.map(|scale| match factor.to_f32() {
            0.0 => 0,
            factor => (scale / factor).round().clamp(-32.0, 31.0) as i8,
        });
        let six = scales.map(|scale| (scale + 32) as u8);
        let high = (0..SCALES).fold(0, |high, at| high | u16::from(six[at] >> 4) << (2 * at));
        bytes.extend(factor.to_le_bytes());
        bytes.extend(high.to_le_bytes());
        bytes.extend((0..SCALES / 2).map(|at| six[2 * at] & 15 | six[2 * at + 1] << 4));
        for (part, scale) in block.chunks(32).zip(scales) {
            let inverse = match factor.to_f32() * f32::from(scale) {
                0.0 => 0.0,
                scale => 1.0 / scale,
            };
            let codes = |at: usize| code(part[at] * inverse);
            bytes.extend((0..16).map(|at| codes(at) | codes(at + 16) << 4));
        }
    }
    bytes
}

/// The values of whole blocks, exact: 11 bits times 5 times 7 fit f32.
pub fn dequantize(blocks: &[u8]) -> impl Iterator<Item = f32> {
    blocks.as_chunks().0.iter().flat_map(|block: &Block| {
        let factor = factors(block).0;
        let parts = block[HEAD_BYTES..].as_chunks::<16>().0.iter();
        let parts = parts.zip(scales(block));
        parts.flat_map(move |(codes, scale)| {
            let scale = factor * f32::from(scale);
            halves(codes).map(|code| scale * value(code))
        })
    })
}
