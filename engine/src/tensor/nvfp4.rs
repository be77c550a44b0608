//! NVFP4: blocks of 32 numbers as 4-bit floats and two scales in e4m3, one for each 16 numbers, times
//! a separate factor of the tensor.
//!
//! A 4-bit float has 2 bits of exponent and one of fraction: 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their
//! negatives. A block is 18 bytes: the scales, then 16 bytes of numbers with the first number in a
//! byte's upper half. Files hold the same numbers (`U8` [N, K/2]) but keep the scales in a separate
//! tensor. (Format: <https://arxiv.org/abs/2509.25149>, section 2)

use half::f16;

use super::format::weight_module;
use super::pack::{ROWS, largest, pack, spread, words};
use super::padded::padded;
use super::{Format, Layout, f8_e4m3};

/// Numbers of a block.
pub const BLOCK: usize = 32;

/// Numbers that share a scale.
pub const GROUP: usize = 16;

/// Bytes of a block.
pub const BLOCK_BYTES: usize = 2 + BLOCK / 2;

/// A block's bytes: scales, numbers.
pub type Block = [u8; BLOCK_BYTES];

/// The sizes of the 4-bit floats 0 to 7.
const SIZES: [f32; 8] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];

/// Words that the blocks of eight rows take on the device.
const WORDS: usize = (1 + BLOCK / 8) * ROWS;

/// The row of the table.
pub const FORMAT: Format = Format {
    name: "NVFP4",
    block: BLOCK,
    size: BLOCK_BYTES,
    // GGUF's type of this name has other blocks.
    gguf: None,
    safetensors: false,
    weight: weight_module!("weight/nvfp4"),
    layout: Layout::Blocks {
        words: WORDS,
        pack: |bytes, rows, to| pack(bytes, rows, WORDS, to, place),
    },
    scaled: Some(6.0 * f8_e4m3::MAX),
    exceeds_f16: true,
    read: |bytes, to| to.extend(dequantize(bytes)),
    write: quantize,
    // Q4_K holds weights better in as many bits.
    target: false,
    largest: |row| largest(row, bound),
    // As two scales of 2^-3 and a row's of 2^-31.
    noise: [0x83ff_83ff, 0x3000_3000],
};

/// The value of a 4-bit float.
fn value(code: u8) -> f32 {
    let size = SIZES[usize::from(code & 7)];
    if code & 8 == 0 { size } else { -size }
}

/// The nearest 4-bit float; of two the even one.
fn code(value: f32) -> u8 {
    const TIES: [f32; 7] = [0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0];
    let size = value.abs();
    let code = TIES
        .iter()
        .zip(0_u8..)
        .filter(|&(&tie, below)| size > tie || (size == tie && below % 2 == 1));
    code.count() as u8 | if value < 0.0 { 8 } else { 0 }
}

/// The scales of a block.
fn scales(&[first, second, ..]: &Block) -> [f32; 2] {
    [first, second].map(f8_e4m3::to_f32)
}

/// Writes the block of row `row` (of eight) among those of the eight: half the scales as f16, which
/// holds every e4m3, so that twice the numbers are integers; then the numbers.
fn place(block: &Block, row: usize, to: &mut [u32]) {
    let halves = scales(block).map(|scale| u32::from(f16::from_f32(scale / 2.0).to_bits()));
    let head = [halves[0] | halves[1] << 16].into_iter();
    spread(&mut to[row..], head.chain(words(&block[2..])));
}

/// A bound on the size of the block's numbers.
fn bound(block: &Block) -> f32 {
    let [first, second] = scales(block).map(f32::abs);
    6.0 * first.max(second)
}

/// Values as blocks; zeros fill the last. The largest of 16 becomes 6 or -6.
#[must_use]
pub fn quantize(values: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len().div_ceil(BLOCK) * BLOCK_BYTES);
    for block in padded::<BLOCK>(values) {
        let (groups, _) = block.as_chunks::<GROUP>();
        let scales = groups.iter().map(|group| {
            let largest = group.iter().fold(0.0, |most: f32, v| most.max(v.abs()));
            f8_e4m3::from_f32(largest / 6.0)
        });
        let scales: Vec<u8> = scales.collect();
        bytes.extend(&scales);
        for (group, scale) in groups.iter().zip(scales) {
            let inverse = match f8_e4m3::to_f32(scale) {
                0.0 => 0.0,
                scale => 1.0 / scale,
            };
            let pairs = group.as_chunks::<2>().0.iter();
            bytes.extend(pairs.map(|&[a, b]| code(a * inverse) << 4 | code(b * inverse)));
        }
    }
    bytes
}

/// The values of whole blocks, exact: 2 bits times 4.
pub fn dequantize(blocks: &[u8]) -> impl Iterator<Item = f32> {
    blocks.as_chunks().0.iter().flat_map(|block: &Block| {
        let scales = scales(block);
        let numbers = block[2..].iter().zip(0..);
        numbers.flat_map(move |(&byte, at)| {
            let scale = scales[at * 2 / GROUP];
            [byte >> 4, byte].map(|code| scale * value(code))
        })
    })
}
