//! Matrices and convolutions in the layouts that kernels read: `shaders/weight/` has them.

use super::blocks::{Block, ROWS};
use super::{Buffer, Gpu};
use crate::error::Error;
use crate::record::{Pack, TensorInfo};
use crate::tensor::{DType, f8_e4m3, q4_0, q4_k, q5_k, q6_k, q8_0};
use crate::weights::TensorView;

/// Bytes repacked at a time: host memory for an upload does not grow with the tensor.
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
    let blocks = k / info.dtype.block();
    match info.dtype {
        DType::F16 | DType::BF16 => {
            upload_groups::<2>(gpu, buffer, bytes.as_chunks().0, n, k, channels)
        }
        DType::F32 | DType::U32 => {
            upload_groups::<4>(gpu, buffer, bytes.as_chunks().0, n, k, channels)
        }
        DType::F8E4M3 => upload_bytes(gpu, buffer, view, n, k),
        DType::Q8_0 => upload_blocks::<q8_0::Block>(gpu, buffer, bytes.as_chunks().0, blocks),
        DType::Q4_0 => upload_blocks::<q4_0::Block>(gpu, buffer, bytes.as_chunks().0, blocks),
        DType::Q4_K => upload_blocks::<q4_k::Block>(gpu, buffer, bytes.as_chunks().0, blocks),
        DType::Q5_K => upload_blocks::<q5_k::Block>(gpu, buffer, bytes.as_chunks().0, blocks),
        DType::Q6_K => upload_blocks::<q6_k::Block>(gpu, buffer, bytes.as_chunks().0, blocks),
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
            // On the device they are [frames, taps, channels], in the file [frames, channels, taps],
            // the latest frame first.
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

/// Writes a matrix with so many blocks in a row, some groups of eight rows at a time.
fn upload_blocks<B: Block>(
    gpu: &Gpu,
    buffer: &Buffer,
    source: &[B],
    blocks: usize,
) -> Result<(), Error> {
    let group = blocks * B::WORDS;
    let per_piece = (PIECE / (group * 4).max(1)).max(1);
    let mut piece: Vec<u32> = Vec::new();
    for (number, rows) in source
        .chunks((per_piece * ROWS * blocks).max(1))
        .enumerate()
    {
        piece.clear();
        piece.resize(rows.len().div_ceil(ROWS * blocks) * group, 0);
        for (at, block) in rows.iter().enumerate() {
            let (row, along) = (at / blocks, at % blocks);
            let to = &mut piece[row / ROWS * group + along * B::WORDS..][..B::WORDS];
            block.place(row % ROWS, to);
        }
        let offset = (number * per_piece * group * 4) as u64;
        gpu.write(buffer, offset, bytemuck::cast_slice(&piece))?;
    }
    Ok(())
}

/// Writes a matrix in e4m3 as `[N/8][1 + K/4][8]` words: `weight/f8_e4m3.wgsl`.
fn upload_bytes(
    gpu: &Gpu,
    buffer: &Buffer,
    view: &TensorView<'_>,
    n: usize,
    k: usize,
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
            // The kernel knows no NaN; times NaN all of the row is, as is its product.
            let nan = from.iter().any(|&byte| byte & 0x7f == 0x7f);
            let scale = if nan {
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
    let scale = |(number, row): (usize, &[u8])| {
        let exponent = match info.dtype {
            // Magnitudes of floats order as their bits do: the largest exponent of a row's finite
            // elements.
            DType::BF16 => {
                let words = row.as_chunks().0.iter().map(|&b| u16::from_le_bytes(b));
                words.map(|w| w >> 7 & 0xff).filter(|&e| e < 0xff).max()
            }
            DType::F8E4M3 => {
                let sizes = row.iter().map(|byte| byte & 0x7f);
                let largest = sizes.filter(|&size| size < 0x7f).max().unwrap_or(0);
                exponent(f8_e4m3::to_f32(largest) * view.scale(number))
            }
            DType::Q8_0 => largest::<q8_0::Block>(row.as_chunks().0),
            DType::Q4_0 => largest::<q4_0::Block>(row.as_chunks().0),
            DType::Q4_K => largest::<q4_k::Block>(row.as_chunks().0),
            DType::Q5_K => largest::<q5_k::Block>(row.as_chunks().0),
            DType::Q6_K => largest::<q6_k::Block>(row.as_chunks().0),
            DType::F32 | DType::F16 | DType::U32 => {
                let words = row.as_chunks().0.iter().map(|&b| u32::from_le_bytes(b));
                let exponents = words.map(|w| (w >> 23 & 0xff) as u16);
                exponents.filter(|&e| e < 0xff).max()
            }
        };
        // Biased by 127, as the exponent is; its inverse is no subnormal number, either.
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

/// The largest exponent of blocks' bounds.
fn largest<B: Block>(blocks: &[B]) -> Option<u16> {
    blocks.iter().filter_map(|b| exponent(b.largest())).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Kind;

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
