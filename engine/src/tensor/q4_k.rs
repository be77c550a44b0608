//! Blocks of 256 numbers as 4-bit integers, eight scales and minima of 6 bits, and an f16 factor
//! for each of the two, along a row: `Q4_K` of GGUF.
//!
//! A block is 144 bytes, little endian: the factor of the scales, that of the minima, 12 bytes of
//! scales and minima, the integers. A number is (factor times scale) times integer less (factor
//! times minimum). Of 64 numbers the first 32 are the lower halves of 32 bytes, the others their
//! upper halves. (Layout: `block_q4_K`, `get_scale_min_k4` and `dequantize_row_q4_K` of ggml,
//! <https://github.com/ggml-org/ggml/blob/master/src/ggml-quants.c>)

use half::f16;

/// Numbers of a block.
pub const BLOCK: usize = 256;

/// Bytes of a block.
pub const BLOCK_BYTES: usize = HEAD_BYTES + BLOCK / 2;

/// Bytes before the integers.
pub(super) const HEAD_BYTES: usize = 2 + 2 + 12;

/// A block's bytes: factors, scales and minima, integers.
pub type Block = [u8; BLOCK_BYTES];

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

    /// The value of each integer: products of 11 bits and 6 are exact in f32, as is the product
    /// with 5 bits more, so that the difference alone is rounded.
    pub fn values<const N: usize>(&self, integers: [u8; N]) -> [f32; N] {
        let factors: [(f32, f32); 8] = std::array::from_fn(|at| {
            let [scale, minimum] = [self.scales[at], self.minima[at]].map(f32::from);
            (self.scale.to_f32() * scale, self.minimum.to_f32() * minimum)
        });
        std::array::from_fn(|at| {
            let (scale, minimum) = factors[at / 32];
            scale * f32::from(integers[at]) - minimum
        })
    }
}

/// What the numbers of a block share.
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

/// The values of whole blocks.
pub fn dequantize(blocks: &[u8]) -> impl Iterator<Item = f32> {
    let blocks = blocks.as_chunks().0.iter();
    blocks.flat_map(|block| head(block).values(integers(block)))
}
