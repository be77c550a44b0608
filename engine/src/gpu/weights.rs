//! A checkpoint's tensors on the device, in the layouts that kernels read.

use std::collections::HashMap;

use super::{Buffer, Gpu};
use crate::error::{Error, RecordError};
use crate::record::{Pack, Recording, TensorInfo};
use crate::tensor::{DType, q8_0};
use crate::weights::{Checkpoint, TensorView};

/// Bytes repacked at a time: host memory for an upload does not grow with the tensor.
const PIECE: usize = 16 << 20;

/// Device buffers by the names of the checkpoint. Dropping it frees them.
#[derive(Debug, Default)]
pub struct WeightBuffers {
    buffers: HashMap<String, Buffer>,
}

impl WeightBuffers {
    /// No weights.
    pub fn new() -> Self {
        Self::default()
    }

    /// Uploads what a recording asks for and is not there yet. `rename` gives the checkpoint's
    /// name of a recorded one: one block's recording serves all blocks.
    ///
    /// # Errors
    /// A tensor that is missing or of another shape, or no room on the device.
    pub fn load(
        &mut self,
        gpu: &Gpu,
        checkpoint: &Checkpoint,
        recording: &Recording,
        rename: &dyn Fn(&str) -> String,
    ) -> Result<(), Error> {
        for (_, info, pack) in recording.weights() {
            let name = rename(&info.name);
            if self.buffers.contains_key(&name) {
                continue;
            }
            let view = checkpoint.get(&name, info.shape.dims())?;
            self.put(gpu, info, pack, &view)?;
        }
        Ok(())
    }

    /// Uploads one tensor under the name it has in `view`, wherever its bytes come from: `Q8_0` is
    /// in no safetensors file.
    ///
    /// # Errors
    /// More or fewer bytes than the recorded shape and type take, blocks that do not fill rows, or
    /// no room on the device.
    pub fn put(
        &mut self,
        gpu: &Gpu,
        info: &TensorInfo,
        pack: Pack,
        view: &TensorView<'_>,
    ) -> Result<(), Error> {
        let buffer = gpu.buffer(view.name, info.bytes())?;
        upload(gpu, &buffer, info, pack, view)?;
        self.buffers.insert(view.name.to_owned(), buffer);
        Ok(())
    }

    /// The buffer of a tensor, by the checkpoint's name.
    pub fn get(&self, name: &str) -> Option<Buffer> {
        self.buffers.get(name).cloned()
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        self.buffers.values().map(Buffer::size).sum()
    }
}

/// Writes a tensor into a buffer that has room for it, in the layout that kernels read.
///
/// # Errors
/// As [`WeightBuffers::put`].
pub(super) fn upload(
    gpu: &Gpu,
    buffer: &Buffer,
    info: &TensorInfo,
    pack: Pack,
    view: &TensorView<'_>,
) -> Result<(), Error> {
    check(info, pack, view)?;
    match pack {
        Pack::Vector => gpu.write(buffer, 0, bytemuck::cast_slice(&view.to_f32()))?,
        Pack::Matrix | Pack::Conv => {
            upload_matrix(gpu, buffer, info, pack, &view.bytes)?;
            if let Some(place) = info.scales() {
                let scales = row_scales(info, &view.bytes);
                gpu.write(buffer, place.start, bytemuck::cast_slice(&scales))?;
            }
        }
    }
    Ok(())
}

/// Whether a tensor's bytes are what a recording asks for.
fn check(info: &TensorInfo, pack: Pack, view: &TensorView<'_>) -> Result<(), RecordError> {
    let refused = |name, found, expected| RecordError::Size {
        op: "weight",
        name,
        found,
        expected,
    };
    // A vector is f32 on the device whatever the file holds.
    if pack != Pack::Vector && view.dtype != info.dtype {
        let found = view.dtype.bytes(view.dtype.block());
        return Err(refused(
            "bytes of an element",
            found,
            "those of the type recorded",
        ));
    }
    let count = info.shape.count();
    if view.bytes.len() != view.dtype.bytes(count) {
        let expected = "as many as shape and element type take";
        return Err(refused("bytes", view.bytes.len(), expected));
    }
    let row = match pack {
        Pack::Matrix => info.shape.last_dim(),
        Pack::Vector => count,
        // A pixel's channels are not neighbours in the file.
        Pack::Conv => 1,
    };
    if !row.is_multiple_of(view.dtype.block()) {
        let expected = "a multiple of the block of the element type";
        return Err(refused("row", row, expected));
    }
    Ok(())
}

/// Rows of a matrix that lie interleaved: `weight.wgsl` has the reason.
const ROWS: usize = 8;

/// Writes a matrix or convolution as `[N/8][K/4][8][4]`, some groups of eight rows at a time.
fn upload_matrix(
    gpu: &Gpu,
    buffer: &Buffer,
    info: &TensorInfo,
    pack: Pack,
    bytes: &[u8],
) -> Result<(), Error> {
    let n = info.shape.first().copied().unwrap_or(1);
    let k = info.shape.count().checked_div(n).unwrap_or(0);
    // A convolution's [C, taps] becomes [taps, C]; a matrix is one tap.
    let channels = match pack {
        Pack::Conv => info.shape.get(1).copied().unwrap_or(1),
        Pack::Matrix | Pack::Vector => k,
    };
    match info.dtype {
        DType::F16 | DType::BF16 => {
            upload_groups::<2>(gpu, buffer, bytes.as_chunks().0, n, k, channels)
        }
        DType::Q8_0 => upload_blocks(gpu, buffer, bytes.as_chunks().0, k / q8_0::BLOCK),
        _ => upload_groups::<4>(gpu, buffer, bytes.as_chunks().0, n, k, channels),
    }
}

fn upload_groups<const SIZE: usize>(
    gpu: &Gpu,
    buffer: &Buffer,
    source: &[[u8; SIZE]],
    n: usize,
    k: usize,
    channels: usize,
) -> Result<(), Error> {
    let taps = k.checked_div(channels).unwrap_or(0);
    let padded = channels.next_multiple_of(4);
    let block = taps * padded * ROWS;
    let per_piece = (PIECE / (block * SIZE).max(1)).max(1) * ROWS;
    let mut piece: Vec<[u8; SIZE]> = Vec::new();
    for first in (0..n).step_by(per_piece) {
        let count = per_piece.min(n - first);
        piece.clear();
        piece.resize(count.div_ceil(ROWS) * block, [0; SIZE]);
        for row in 0..count {
            let from = &source[(first + row) * k..(first + row + 1) * k];
            let to = &mut piece[row / ROWS * block + row % ROWS * 4..];
            // On the device they are [taps, channels], in the file [channels, taps].
            for tap in 0..taps {
                for channel in 0..channels {
                    let at = tap * padded + channel;
                    to[at / 4 * ROWS * 4 + at % 4] = from[channel * taps + tap];
                }
            }
        }
        let offset = (first / ROWS * block * SIZE) as u64;
        gpu.write(buffer, offset, piece.as_flattened())?;
    }
    Ok(())
}

/// Writes a matrix with so many blocks in a row as `[N/8][K/32][1 + 8][8]`: `weight/q8_0.wgsl`.
fn upload_blocks(
    gpu: &Gpu,
    buffer: &Buffer,
    source: &[q8_0::Block],
    blocks: usize,
) -> Result<(), Error> {
    const WORDS: usize = (1 + q8_0::BLOCK / 4) * ROWS;
    let group = blocks * WORDS;
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
            let to = &mut piece[row / ROWS * group + along * WORDS + row % ROWS..];
            to[0] = q8_0::scale(block).to_bits();
            let words = block[2..].as_chunks().0.iter();
            for (word, &four) in words.enumerate() {
                to[(1 + word) * ROWS] = u32::from_le_bytes(four);
            }
        }
        let offset = (number * per_piece * group * 4) as u64;
        gpu.write(buffer, offset, bytemuck::cast_slice(&piece))?;
    }
    Ok(())
}

/// The power of two for each row that makes its largest element one between 2^14 and 2^15.
fn row_scales(info: &TensorInfo, bytes: &[u8]) -> Vec<f32> {
    let rows = info.shape.first().copied().unwrap_or(1).max(1);
    // Magnitudes of floats order as their bits do: the largest exponent of a row's finite elements.
    let exponent = |row: &[u8]| match info.dtype {
        DType::BF16 => {
            let words = row.as_chunks().0.iter().map(|&b| u16::from_le_bytes(b));
            words.map(|w| w >> 7 & 0xff).filter(|&e| e < 0xff).max()
        }
        DType::Q8_0 => {
            // 128 times the scale: no integer is larger.
            let largest = row.as_chunks().0.iter().map(|b| 128.0 * q8_0::scale(b));
            let exponents = largest.map(|v| (v.to_bits() >> 23 & 0xff) as u16);
            exponents.filter(|&e| e < 0xff).max()
        }
        _ => {
            let words = row.as_chunks().0.iter().map(|&b| u32::from_le_bytes(b));
            let exponents = words.map(|w| (w >> 23 & 0xff) as u16);
            exponents.filter(|&e| e < 0xff).max()
        }
    };
    let scale = |row| {
        // Biased by 127, as the exponent is; its inverse is no subnormal number, either.
        let scale = u32::from(exponent(row).unwrap_or(127)).saturating_sub(14);
        f32::from_bits(scale.max(1) << 23)
    };
    bytes
        .chunks(bytes.len().div_ceil(rows).max(1))
        .map(scale)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Kind;

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
        let scales = row_scales(&info, &bytes);
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
        assert_eq!(row_scales(&info, &halves), scales);
    }
}
