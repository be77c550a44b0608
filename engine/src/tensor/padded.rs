//! Values in whole blocks.

/// Blocks of `N` values; zeros fill the last.
pub(super) fn padded<const N: usize>(values: &[f32]) -> impl Iterator<Item = [f32; N]> {
    values.chunks(N).map(|part| {
        let mut block = [0.0; N];
        block[..part.len()].copy_from_slice(part);
        block
    })
}
