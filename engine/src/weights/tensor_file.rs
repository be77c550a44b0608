//! Small safetensors files of F32 tensors, written whole or not at all.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::SafetensorsHeader;
use super::encode::encode;
use crate::error::WeightsError;
use crate::staged::{self, Staged};
use crate::tensor::DType;

/// Values that are turned into bytes at a time.
const PIECE: usize = 1 << 14;

/// A tensor on the host: name, shape, values.
pub(super) type HostTensor<'t> = (&'t str, &'t [usize], &'t [f32]);

/// Writes the tensors in this order with the metadata beside them, to a temporary name in the same
/// folder that is then renamed: `path` never holds half a file. An existing file is replaced.
///
/// # Errors
/// [`WeightsError::LatentsCount`] where a shape and its values do not match, and
/// [`WeightsError::Write`].
pub(super) fn write(
    path: &Path,
    tensors: &[HostTensor<'_>],
    metadata: &BTreeMap<String, String>,
) -> Result<(), WeightsError> {
    for (_, shape, values) in tensors {
        if shape.iter().product::<usize>() != values.len() {
            return Err(WeightsError::LatentsCount {
                file: path.display().to_string(),
                shape: shape.to_vec(),
                count: values.len(),
            });
        }
    }
    let mut header = SafetensorsHeader::new(metadata);
    for (name, shape, _) in tensors {
        header.tensor(name, DType::F32, shape)?;
    }
    write_file(path, &header, tensors).map_err(|source| WeightsError::Write {
        path: path.to_owned(),
        source,
    })
}

fn write_file(
    path: &Path,
    header: &SafetensorsHeader,
    tensors: &[HostTensor<'_>],
) -> io::Result<()> {
    staged::sweep(path);
    let mut staged = Staged::create(path)?;
    let mut out = BufWriter::new(staged.file());
    out.write_all(&header.to_bytes())?;
    for (_, _, values) in tensors {
        each_piece(values, |bytes| out.write_all(bytes))?;
    }
    out.flush()?;
    drop(out);
    staged.sync()?;
    staged.commit(true)
}

/// Hands out the values' bytes, little endian, some at a time.
pub(super) fn each_piece<E>(
    values: &[f32],
    mut take: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut pieces = values.chunks(PIECE);
    pieces.try_for_each(|piece| take(&encode(DType::F32, 1.0, piece)))
}
