//! Safetensors files of full-size weights.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use half::bf16;
use kinora::tensor::DType;
use kinora::weights::SafetensorsHeader;

use super::shapes::Named;
use super::values::values;

/// Elements made at a time by a thread.
const PIECE: usize = 1 << 20;

/// Writes the tensors in that element type, bf16 or f32. Those that `is_hollow` says are zeros that
/// take no room on the disk.
pub fn write(
    path: &Path,
    tensors: &[Named],
    dtype: DType,
    is_hollow: &dyn Fn(&str) -> bool,
) -> io::Result<()> {
    let mut header = SafetensorsHeader::default();
    for (name, shape) in tensors {
        let added = header.tensor(name, dtype, shape);
        added.map_err(io::Error::other)?;
    }
    let mut file = File::create(path)?;
    file.write_all(&header.to_bytes())?;
    for (name, shape) in tensors {
        let count: usize = shape.iter().product();
        if is_hollow(name) {
            file.seek(SeekFrom::Current(dtype.bytes(count) as i64))?;
            continue;
        }
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        for first in (0..count).step_by(threads * PIECE) {
            let pieces = std::thread::scope(|scope| {
                let of = |thread| first + thread * PIECE..count.min(first + (thread + 1) * PIECE);
                let started: Vec<_> = (0..threads)
                    .map(of)
                    .filter(|range| !range.is_empty())
                    .map(|range| {
                        let values = values(name, shape, range.start).take(range.len());
                        scope.spawn(move || bytes(values, dtype))
                    })
                    .collect();
                let joined = started.into_iter().map(|thread| thread.join());
                joined.collect::<Result<Vec<_>, _>>()
            });
            for piece in pieces.map_err(|_| io::Error::other("a thread failed"))? {
                file.write_all(&piece)?;
            }
        }
    }
    let length = file.stream_position()?;
    file.set_len(length)
}

fn bytes(values: impl Iterator<Item = f32>, dtype: DType) -> Vec<u8> {
    match dtype {
        DType::F32 => values.flat_map(f32::to_le_bytes).collect(),
        _ => values
            .flat_map(|value| bf16::from_f32(value).to_le_bytes())
            .collect(),
    }
}
