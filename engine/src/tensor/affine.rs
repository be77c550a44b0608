//! Common parts of the formats of 32 numbers with an f16 scale: `Q4_1`, `Q5_0`, `Q5_1`.

use half::f16;

/// Scale and minimum at the beginning of a block.
pub(super) fn factors(block: &[u8]) -> (f32, f32) {
    let mut halves = block.as_chunks().0.iter();
    let mut next = || {
        halves
            .next()
            .map_or(0.0, |&half| f16::from_le_bytes(half).to_f32())
    };
    (next(), next())
}

/// Of 32 numbers the first 16 are the lower halves of 16 bytes, the others their upper halves.
pub(super) fn halves(bytes: &[u8]) -> [u8; 32] {
    std::array::from_fn(|at| bytes[at % 16] >> (at / 16 * 4) & 15)
}

/// Unpacks 5-bit integers whose fifth bits are in four bytes before the others.
pub(super) fn five_bits(bytes: &[u8]) -> [u8; 32] {
    let (fifth, lower) = bytes.split_at(4);
    let lower = halves(lower);
    std::array::from_fn(|at| lower[at] | (fifth[at / 8] >> (at % 8) & 1) << 4)
}

/// Packs 5-bit integers for [`five_bits`].
pub(super) fn packed_five(integers: &[u8; 32]) -> [u8; 20] {
    std::array::from_fn(|at| match at {
        0..4 => (0..8).fold(0, |byte, bit| byte | integers[at * 8 + bit] >> 4 << bit),
        _ => integers[at - 4] & 15 | integers[at + 12] << 4,
    })
}

/// Scale, minimum and integers of 32 numbers that span the integers' range. The integers are those of
/// the scale before it is rounded to f16, as gguf-py has them.
pub(super) fn spans(block: &[f32; 32], most: f32) -> (f16, f16, [u8; 32]) {
    let low = block.iter().copied().fold(f32::INFINITY, f32::min);
    let high = block.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let scale = (high - low) / most;
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    let integers = block.map(|v| ((v - low) * inverse + 0.5).min(most) as u8);
    (f16::from_f32(scale), f16::from_f32(low), integers)
}
