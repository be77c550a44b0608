//! Blocks of 256 numbers as 4-bit integers, eight scales and minima of 6 bits, and an f16 factor
//! for each of the two, along a row: `Q4_K` of GGUF.
//!
//! A block is 144 bytes, little endian: the factor of the scales, that of the minima, 12 bytes of
//! scales and minima, the integers. A number is (factor times scale) times integer less (factor
//! times minimum). Of 64 numbers the first 32 are the lower halves of 32 bytes, the others their
//! upper halves. (Layout: `block_q4_K`, `get_scale_min_k4` and `dequantize_row_q4_K` of ggml,
//! <https://github.com/ggml-org/ggml/blob/master/src/ggml-quants.c>)

use half::f16;

use super::format::weight_module;
use super::pack::{ROWS, largest, pack, spread, words};
use super::padded::padded;
use super::{Format, Layout};

/// Numbers of a block.
pub const BLOCK: usize = 256;

/// Bytes of a block.
pub const BLOCK_BYTES: usize = HEAD_BYTES + BLOCK / 2;

/// Bytes before the integers.
pub(super) const HEAD_BYTES: usize = 2 + 2 + 12;

/// A block's bytes: factors, scales and minima, integers.
pub type Block = [u8; BLOCK_BYTES];

/// Words that the blocks of eight rows take on the device.
const WORDS: usize = (5 + BLOCK / 8) * ROWS;

/// The row of the table.
pub const FORMAT: Format = Format {
    name: "Q4_K",
    block: BLOCK,
    size: BLOCK_BYTES,
    gguf: Some(12),
    safetensors: false,
    weight: weight_module!("weight/q4_k"),
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

/// What 32 numbers each of a block share, in `Q4_K` and in `Q5_K`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Head {
    /// The factor of the scales.
    pub scale: f16,
    /// The factor of the minima.
    pub minimum: f16,
    /// Eight scales, 0 to 63.
    pub scales: [u8; 8],
    /// Eight minima, 0 to 63.
    pub minima: [u8; 8],
}

impl Head {
    /// Reads the first 16 bytes of a block.
    #[must_use]
    pub fn of(bytes: &[u8; 16]) -> Self {
        let [d0, d1, m0, m1, packed @ ..] = bytes;
        // Scales and minima of the first four are the lower 6 bits of four bytes each; those of the
        // others have their lower 4 bits in the last four bytes, their upper 2 in the first eight.
        let parts = |at: usize| {
            if at < 4 {
                (packed[at] & 63, packed[at + 4] & 63)
            } else {
                let low = packed[at + 4];
                let [scale, minimum] = [packed[at - 4], packed[at]].map(|b| b >> 6 << 4);
                (low & 15 | scale, low >> 4 | minimum)
            }
        };
        Self {
            scale: f16::from_le_bytes([*d0, *d1]),
            minimum: f16::from_le_bytes([*m0, *m1]),
            scales: std::array::from_fn(|at| parts(at).0),
            minima: std::array::from_fn(|at| parts(at).1),
        }
    }

    /// Scales and minima for a block whose integers are at most `most`: 32 numbers and zero span the
    /// integers' range. (ggml looks for the scale and minimum that have the least error.)
    pub(super) fn fit(block: &[f32; BLOCK], most: f32) -> Self {
        let spans: [(f32, f32); 8] = std::array::from_fn(|at| {
            let part = &block[at * 32..][..32];
            let low = part.iter().copied().fold(0.0, f32::min);
            let high = part.iter().copied().fold(0.0, f32::max);
            ((high - low) / most, -low)
        });
        let largest = |of: fn(&(f32, f32)) -> f32| {
            let most = spans.iter().map(of).fold(0.0, f32::max);
            f16::from_f32(most / 63.0)
        };
        let (scale, minimum) = (largest(|span| span.0), largest(|span| span.1));
        let parts = |value: f32, unit: f16| match unit.to_f32() {
            0.0 => 0,
            unit => (value / unit).round().min(63.0) as u8,
        };
        Self {
            scale,
            minimum,
            scales: spans.map(|span| parts(span.0, scale)),
            minima: spans.map(|span| parts(span.1, minimum)),
        }
    }

    /// The first 16 bytes of a block.
    pub(super) fn to_bytes(self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..2].copy_from_slice(&self.scale.to_le_bytes());
        bytes[2..4].copy_from_slice(&self.minimum.to_le_bytes());
        let packed = &mut bytes[4..];
        for at in 0..4 {
            let [scale, minimum] = [self.scales[at], self.minima[at]];
            let [later, later_minimum] = [self.scales[at + 4], self.minima[at + 4]];
            packed[at] = scale | later >> 4 << 6;
            packed[at + 4] = minimum | later_minimum >> 4 << 6;
            packed[at + 8] = later & 15 | later_minimum << 4;
        }
        bytes
    }

    /// The nearest integers, up to `most`.
    pub(super) fn integers_of(&self, block: &[f32; BLOCK], most: f32) -> [u8; BLOCK] {
        let factors = self.factors();
        std::array::from_fn(|at| match factors[at / 32] {
            (0.0, _) => 0,
            (scale, minimum) => ((block[at] + minimum) / scale).round().clamp(0.0, most) as u8,
        })
    }

    /// Scale and minimum of each 32 numbers.
    fn factors(&self) -> [(f32, f32); 8] {
        std::array::from_fn(|at| {
            let [scale, minimum] = [self.scales[at], self.minima[at]].map(f32::from);
            (self.scale.to_f32() * scale, self.minimum.to_f32() * minimum)
        })
    }

    /// The five words of it on the device: the factors, then scales and minima, two pairs to a word.
    pub(super) fn words(self) -> impl Iterator<Item = u32> {
        let factors = [self.scale, self.minimum].map(|factor| u32::from(factor.to_bits()));
        let pairs = self.scales.into_iter().zip(self.minima);
        let mut pairs = pairs.map(|(scale, minimum)| u32::from(scale) | u32::from(minimum) << 8);
        let two = move || Some(pairs.next()? | pairs.next()? << 16);
        [factors[0] | factors[1] << 16]
            .into_iter()
            .chain(std::iter::from_fn(two))
    }

    /// A bound on the size of numbers whose integers are at most `most`. A minimum is taken from all
    /// of them: from the largest, and from zero.
    pub(super) fn bound(&self, most: f32) -> f32 {
        let largest = self
            .factors()
            .map(|(scale, minimum)| (scale * most - minimum).abs().max(minimum.abs()));
        largest.into_iter().fold(0.0, f32::max)
    }

    /// The value of each integer: products of 11 bits and 6 are exact in f32, as is the product
    /// with 5 bits more, so that the difference alone is rounded.
    pub fn values<const N: usize>(&self, integers: [u8; N]) -> [f32; N] {
        let factors = self.factors();
        std::array::from_fn(|at| {
            let (scale, minimum) = factors[at / 32];
            scale * f32::from(integers[at]) - minimum
        })
    }
}

/// The scales of a block.
#[must_use]
pub fn head(block: &Block) -> Head {
    Head::of(block.first_chunk().unwrap_or(&[0; 16]))
}

/// The integers of a block, 0 to 15, in the order of the numbers.
#[must_use]
pub fn integers(block: &Block) -> [u8; BLOCK] {
    lower_bits(&block[HEAD_BYTES..])
}

/// Of 64 numbers each the first 32 are lower halves of bytes, the others upper halves.
pub(super) fn lower_bits(bytes: &[u8]) -> [u8; BLOCK] {
    std::array::from_fn(|at| bytes[at / 64 * 32 + at % 32] >> (at / 32 % 2 * 4) & 15)
}

/// The bytes of lower halves and upper halves.
pub(super) fn packed(integers: &[u8; BLOCK]) -> [u8; BLOCK / 2] {
    std::array::from_fn(|at| {
        let low = at / 32 * 64 + at % 32;
        integers[low] & 15 | integers[low + 32] << 4
    })
}

/// Writes the block of row `row` (of eight) among those of the eight.
fn place(block: &Block, row: usize, to: &mut [u32]) {
    let head = head(block).words();
    spread(&mut to[row..], head.chain(words(&block[HEAD_BYTES..])));
}

/// A bound on the size of the block's numbers.
fn bound(block: &Block) -> f32 {
    head(block).bound(15.0)
}

/// Values as blocks; zeros fill the last.
#[must_use]
pub fn quantize(values: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len().div_ceil(BLOCK) * BLOCK_BYTES);
    for block in padded::<BLOCK>(values) {
        let head = Head::fit(&block, 15.0);
        bytes.extend(head.to_bytes());
        bytes.extend(packed(&head.integers_of(&block, 15.0)));
    }
    bytes
}

/// The values of whole blocks.
pub fn dequantize(blocks: &[u8]) -> impl Iterator<Item = f32> {
    let blocks = blocks.as_chunks().0.iter();
    blocks.flat_map(|block| head(block).values(integers(block)))
}
