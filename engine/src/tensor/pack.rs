//! Blocks as kernels read them: words of eight rows side by side.
//!
//! `shaders/weight/` has the layouts. Integers keep the order of the file, so that packing is placing
//! whole words.

use super::Rows;

/// Rows of a matrix that are interleaved; `weight.wgsl` has the reason.
pub const ROWS: usize = 8;

/// Packs rows of blocks of `SIZE` bytes, `words` for those of eight rows: `place` writes one block of
/// row `row` (of eight).
pub(super) fn pack<const SIZE: usize>(
    bytes: &[u8],
    Rows { blocks, head }: Rows,
    words: usize,
    to: &mut [u32],
    place: impl Fn(&[u8; SIZE], usize, &mut [u32]),
) {
    let group = head + blocks * words;
    for (at, block) in bytes.as_chunks::<SIZE>().0.iter().enumerate() {
        let (row, along) = (at / blocks, at % blocks);
        let start = row / ROWS * group + head + along * words;
        if let Some(to) = to.get_mut(start..start + words) {
            place(block, row % ROWS, to);
        }
    }
}

/// Writes words [`ROWS`] apart.
pub(super) fn spread(to: &mut [u32], words: impl IntoIterator<Item = u32>) {
    to.iter_mut()
        .step_by(ROWS)
        .zip(words)
        .for_each(|(to, word)| *to = word);
}

/// Bytes as words, little endian.
pub(super) fn words(bytes: &[u8]) -> impl Iterator<Item = u32> {
    let words = bytes.as_chunks().0.iter();
    words.map(|&word| u32::from_le_bytes(word))
}

/// The largest finite bound of a row's blocks.
pub(super) fn largest<const SIZE: usize>(row: &[u8], bound: impl Fn(&[u8; SIZE]) -> f32) -> f32 {
    let bounds = row.as_chunks::<SIZE>().0.iter().map(bound);
    bounds.filter(|bound| bound.is_finite()).fold(0.0, f32::max)
}
