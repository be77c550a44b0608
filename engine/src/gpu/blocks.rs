//! Blocks of quantised formats as kernels read them: words of eight rows side by side.
//!
//! `shaders/weight/` has the layouts. Integers keep the order of the file, so that all that is done
//! is to place whole words.

use crate::tensor::{q4_0, q4_k, q5_k, q6_k, q8_0};

/// Rows of a matrix that lie interleaved: `weight.wgsl` has the reason.
pub(super) const ROWS: usize = 8;

/// A block of one row.
pub(super) trait Block {
    /// Words that eight rows' blocks take.
    const WORDS: usize;

    /// Writes the block of row `row` (of eight) among those of the eight.
    fn place(&self, row: usize, to: &mut [u32]);

    /// A bound on the size of the block's numbers, hardly larger than the largest.
    fn largest(&self) -> f32;
}

/// Writes words that stand [`ROWS`] apart.
fn spread(to: &mut [u32], words: impl IntoIterator<Item = u32>) {
    to.iter_mut()
        .step_by(ROWS)
        .zip(words)
        .for_each(|(to, word)| *to = word);
}

/// Bytes as words, little endian.
fn words(bytes: &[u8]) -> impl Iterator<Item = u32> {
    let words = bytes.as_chunks().0.iter();
    words.map(|&word| u32::from_le_bytes(word))
}

impl Block for q8_0::Block {
    const WORDS: usize = (1 + q8_0::BLOCK / 4) * ROWS;

    fn place(&self, row: usize, to: &mut [u32]) {
        let scale = q8_0::scale(self).to_bits();
        spread(&mut to[row..], [scale].into_iter().chain(words(&self[2..])));
    }

    fn largest(&self) -> f32 {
        // No integer is larger than 128.
        128.0 * q8_0::scale(self).abs()
    }
}

impl Block for q4_0::Block {
    const WORDS: usize = ROWS / 2 + q4_0::BLOCK / 8 * ROWS;

    fn place(&self, row: usize, to: &mut [u32]) {
        let scale = u32::from(q4_0::scale(self).to_bits());
        // Two rows share a word.
        to[row / 2] |= scale << (row % 2 * 16);
        spread(&mut to[ROWS / 2 + row..], words(&self[2..]));
    }

    fn largest(&self) -> f32 {
        8.0 * q4_0::scale(self).to_f32().abs()
    }
}

/// The first five words of a block of `Q4_K` and `Q5_K`.
fn head_words(head: q4_k::Head) -> impl Iterator<Item = u32> {
    let factors = [head.scale, head.minimum].map(|factor| u32::from(factor.to_bits()));
    let pairs = head.scales.into_iter().zip(head.minima);
    let mut pairs = pairs.map(|(scale, minimum)| u32::from(scale) | u32::from(minimum) << 8);
    let two = move || Some(pairs.next()? | pairs.next()? << 16);
    [factors[0] | factors[1] << 16]
        .into_iter()
        .chain(std::iter::from_fn(two))
}

/// A bound on numbers whose integers are at most `most`.
fn head_largest(head: q4_k::Head, most: f32) -> f32 {
    // A minimum is taken from all numbers: from the largest, and from zero.
    let pairs = head.scales.into_iter().zip(head.minima);
    let largest = pairs.map(|(scale, minimum)| {
        let top = head.scale.to_f32() * f32::from(scale) * most;
        let minimum = head.minimum.to_f32() * f32::from(minimum);
        (top - minimum).abs().max(minimum.abs())
    });
    largest.fold(0.0, f32::max)
}

impl Block for q4_k::Block {
    const WORDS: usize = (5 + q4_k::BLOCK / 8) * ROWS;

    fn place(&self, row: usize, to: &mut [u32]) {
        let head = head_words(q4_k::head(self));
        spread(&mut to[row..], head.chain(words(&self[16..])));
    }

    fn largest(&self) -> f32 {
        head_largest(q4_k::head(self), 15.0)
    }
}

impl Block for q5_k::Block {
    const WORDS: usize = (5 + q5_k::BLOCK / 32 + q5_k::BLOCK / 8) * ROWS;

    fn place(&self, row: usize, to: &mut [u32]) {
        let head = head_words(q5_k::head(self));
        spread(&mut to[row..], head.chain(words(&self[16..])));
    }

    fn largest(&self) -> f32 {
        head_largest(q5_k::head(self), 31.0)
    }
}

impl Block for q6_k::Block {
    const WORDS: usize = (1 + 4 + q6_k::BLOCK / 8 + q6_k::BLOCK / 16) * ROWS;

    fn place(&self, row: usize, to: &mut [u32]) {
        let (integers, rest) = self.split_at(q6_k::BLOCK / 2 + q6_k::BLOCK / 4);
        let factor = q6_k::factor(self).to_bits();
        let scales = words(&rest[..16]);
        let all = [factor].into_iter().chain(scales).chain(words(integers));
        spread(&mut to[row..], all);
    }

    fn largest(&self) -> f32 {
        let scales = q6_k::scales(self).into_iter();
        let scale = scales.map(i8::unsigned_abs).max().unwrap_or(0);
        32.0 * f32::from(scale) * q6_k::factor(self).abs()
    }
}
