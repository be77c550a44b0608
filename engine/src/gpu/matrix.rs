//! Packs matrices and convolutions into the layouts that kernels read; `shaders/weight/` documents them.

use super::{Buffer, Gpu};
use crate::error::Error;
use crate::record::{Pack, TensorInfo};
use crate::tensor::{Layout, ROWS, Rows};
use crate::weights::TensorView;

/// Bytes repacked at a time, so that host memory for an upload does not grow with the tensor.
const PIECE: usize = 16 << 20;

/// Writes a matrix or convolution as `[N/8][K/4][8][4]`, some groups of eight rows at a time.
pub(super) fn upload_matrix(
    gpu: &Gpu,
    buffer: &Buffer,
    info: &TensorInfo,
    pack: Pack,
    view: &TensorView<'_>,
) -> Result<(), Error> {
    let bytes = &*view.bytes;
    let n = info.shape.first().copied().unwrap_or(1);
    let k = info.shape.count().checked_div(n).unwrap_or(0);
    // A convolution's [C, taps] becomes [taps, C]; a matrix is one tap.
    let channels = match pack {
        Pack::Conv => [info.shape.get(1).copied().unwrap_or(1), 1],
        Pack::ConvOfTwo => [info.shape.get(1).copied().unwrap_or(2) / 2, 2],
        Pack::Matrix | Pack::Vector => [k, 1],
    };
    let format = info.dtype.format();
    match format.layout {
        Layout::Elements if format.size == 2 => {
            upload_groups::<2>(gpu, buffer, bytes.as_chunks().0, n, k, channels)
        }
        Layout::Elements => upload_groups::<4>(gpu, buffer, bytes.as_chunks().0, n, k, channels),
        Layout::Bytes { broken } => upload_bytes(gpu, buffer, view, [n, k], broken),
        Layout::Blocks { words, pack } => {
            let blocks = k / format.block;
            let head = if format.scaled.is_some() { ROWS } else { 0 };
            let group = Group {
                blocks,
                head,
                words,
            };
            upload_blocks(gpu, buffer, view, group, pack)
        }
    }
}

fn upload_groups<const SIZE: usize>(
    gpu: &Gpu,
    buffer: &Buffer,
    source: &[[u8; SIZE]],
    n: usize,
    k: usize,
    [channels, frames]: [usize; 2],
) -> Result<(), Error> {
    let taps = k.checked_div(channels * frames).unwrap_or(0);
    let padded = channels.next_multiple_of(4);
    let block = frames * taps * padded * ROWS;
    let per_piece = (PIECE / (block * SIZE).max(1)).max(1) * ROWS;
    let mut piece: Vec<[u8; SIZE]> = Vec::new();
    for first in (0..n).step_by(per_piece) {
        let count = per_piece.min(n - first);
        piece.clear();
        piece.resize(count.div_ceil(ROWS) * block, [0; SIZE]);
        for row in 0..count {
            let from = &source[(first + row) * k..(first + row + 1) * k];
            let to = &mut piece[row / ROWS * block + row % ROWS * 4..];
            // The device has [frames, taps, channels], the file [frames, channels, taps] with the
            // latest frame first.
            for frame in 0..frames {
                let from = &from[(frames - 1 - frame) * channels * taps..];
                for tap in 0..taps {
                    for channel in 0..channels {
                        let at = (frame * taps + tap) * padded + channel;
                        to[at / 4 * ROWS * 4 + at % 4] = from[channel * taps + tap];
                    }
                }
            }
        }
        let offset = (first / ROWS * block * SIZE) as u64;
        gpu.write(buffer, offset, piece.as_flattened())?;
    }
    Ok(())
}

/// The size of eight rows of blocks.
#[derive(Clone, Copy)]
struct Group {
    /// Blocks of a row.
    blocks: usize,
    /// Words of the rows' scales, before the blocks.
    head: usize,
    /// Words of eight rows' blocks, one of each.
    words: usize,
}

/// Writes a matrix in blocks, some groups of eight rows at a time.
fn upload_blocks(
    gpu: &Gpu,
    buffer: &Buffer,
    view: &TensorView<'_>,
    Group {
        blocks,
        head,
        words,
    }: Group,
    pack: fn(&[u8], Rows, &mut [u32]),
) -> Result<(), Error> {
    let group = head + blocks * words;
    let row = blocks * view.dtype.size();
    let per_piece = (PIECE / (group * 4).max(1)).max(1);
    let mut piece: Vec<u32> = Vec::new();
    let pieces = view.bytes.chunks((per_piece * ROWS * row).max(1));
    for (number, bytes) in pieces.enumerate() {
        let rows = bytes.len() / row.max(1);
        piece.clear();
        piece.resize(rows.div_ceil(ROWS) * group, 0);
        pack(bytes, Rows { blocks, head }, &mut piece);
        if head > 0 {
            for (at, group) in piece.chunks_mut(group).enumerate() {
                for (inside, word) in group.iter_mut().take(ROWS).enumerate() {
                    let row = (number * per_piece + at) * ROWS + inside;
                    *word = view.scale(row).to_bits();
                }
            }
        }
        let offset = (number * per_piece * group * 4) as u64;
        gpu.write(buffer, offset, bytemuck::cast_slice(&piece))?;
    }
    Ok(())
}

/// Writes a matrix of bytes as `[N/8][1 + K/4][8]` words: `weight/f8_e4m3.wgsl` is one.
fn upload_bytes(
    gpu: &Gpu,
    buffer: &Buffer,
    view: &TensorView<'_>,
    [n, k]: [usize; 2],
    broken: fn(&[u8]) -> bool,
) -> Result<(), Error> {
    let group = (1 + k.div_ceil(4)) * ROWS;
    let per_piece = (PIECE / (group * 4)).max(1) * ROWS;
    let mut piece: Vec<u32> = Vec::new();
    for first in (0..n).step_by(per_piece) {
        let count = per_piece.min(n - first);
        piece.clear();
        piece.resize(count.div_ceil(ROWS) * group, 0);
        for row in 0..count {
            let from = &view.bytes[(first + row) * k..(first + row + 1) * k];
            let to = &mut piece[row / ROWS * group + row % ROWS..];
            // The kernel cannot decode NaN, so a NaN scale makes the whole row, and its product, NaN.
            let scale = if broken(from) {
                f32::NAN
            } else {
                view.scale(first + row)
            };
            to[0] = scale.to_bits();
            for (word, four) in to[ROWS..].iter_mut().step_by(ROWS).zip(from.chunks(4)) {
                let mut bytes = [0; 4];
                bytes[..four.len()].copy_from_slice(four);
                *word = u32::from_le_bytes(bytes);
            }
        }
        let offset = (first / ROWS * group * 4) as u64;
        gpu.write(buffer, offset, bytemuck::cast_slice(&piece))?;
    }
    Ok(())
}

/// The power of two for each row that makes its largest element one between 2^14 and 2^15 (where
/// only a bound on it is cheap, one below).
pub(super) fn row_scales(info: &TensorInfo, view: &TensorView<'_>) -> Vec<f32> {
    let rows = info.shape.first().copied().unwrap_or(1).max(1);
    let bytes = &*view.bytes;
    let largest = info.dtype.format().largest;
    let scale = |(number, row): (usize, &[u8])| {
        let exponent = exponent(largest(row) * view.scale(number));
        // Biased by 127, like the exponent; its inverse is not subnormal either.
        let scale = u32::from(exponent.unwrap_or(127)).saturating_sub(14);
        f32::from_bits(scale.max(1) << 23)
    };
    let rows = bytes.chunks(bytes.len().div_ceil(rows).max(1));
    rows.enumerate().map(scale).collect()
}

/// The exponent of a finite number, biased.
fn exponent(value: f32) -> Option<u16> {
    Some((value.to_bits() >> 23 & 0xff) as u16).filter(|&e| e < 0xff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Kind;
    use crate::tensor::DType;

    fn view(dtype: DType, bytes: &[u8]) -> TensorView<'_> {
        TensorView::new("w", dtype, &[5, 2], bytes)
    }

    #[test]
    fn the_largest_of_a_row_is_scaled_to_what_f16_holds() {
        let rows = [
            [1e30, 1e-8],
            [-1e6, 3.0],
            [1e-30, 0.0],
            [0.0, 0.0],
            [65536.0, 1.0],
        ];
        let info = TensorInfo {
            name: "w".into(),
            shape: [rows.len(), 2].into(),
            dtype: DType::F32,
            kind: Kind::Weight(Pack::Matrix),
        };
        let bytes: Vec<u8> = rows
            .concat()
            .iter()
            .flat_map(|v: &f32| v.to_le_bytes())
            .collect();
        let halves: Vec<u8> = rows
            .concat()
            .iter()
            .flat_map(|&v| half::bf16::from_f32(v).to_le_bytes())
            .collect();
        let scales = row_scales(&info, &view(DType::F32, &bytes));
        assert_eq!(scales.len(), rows.len());
        for (row, scale) in rows.iter().zip(&scales) {
            assert_eq!(scale.log2().fract(), 0.0, "{scale} is a power of two");
            let largest = row[0].abs().max(row[1].abs()) / scale;
            let expected = if row[0] == 0.0 {
                0.0..=0.0
            } else {
                16384.0..=32768.0
            };
            assert!(expected.contains(&largest), "{row:?} / {scale}");
        }
        let info = TensorInfo {
            dtype: DType::BF16,
            ..info
        };
        assert_eq!(row_scales(&info, &view(DType::BF16, &halves)), scales);
    }
}
