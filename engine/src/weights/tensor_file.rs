//! Small safetensors files of F32 tensors, written whole or not at all.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::error::WeightsError;
use crate::staged::{self, Staged};

/// Values that are turned into bytes at a time.
const PIECE: usize = 1 << 14;

/// A tensor on the host: name, shape, values.
pub(super) type HostTensor<'t> = (&'static str, &'t [usize], &'t [f32]);

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
    write_file(path, tensors, metadata).map_err(|source| WeightsError::Write {
        path: path.to_owned(),
        source,
    })
}

fn write_file(
    path: &Path,
    tensors: &[HostTensor<'_>],
    metadata: &BTreeMap<String, String>,
) -> io::Result<()> {
    staged::sweep(path);
    let mut staged = Staged::create(path)?;
    let header = header(tensors, metadata)?;
    let mut out = BufWriter::new(staged.file());
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    for (_, _, values) in tensors {
        each_piece(values, |bytes| out.write_all(bytes))?;
    }
    out.flush()?;
    drop(out);
    staged.sync()?;
    staged.commit(path, true)
}

/// Hands out the values' bytes, little endian, some at a time.
pub(super) fn each_piece<E>(
    values: &[f32],
    mut take: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut bytes = Vec::with_capacity(values.len().min(PIECE) * size_of::<f32>());
    for piece in values.chunks(PIECE) {
        bytes.clear();
        bytes.extend(piece.iter().flat_map(|value| value.to_le_bytes()));
        take(&bytes)?;
    }
    Ok(())
}

/// The header's JSON, padded with spaces so that the data begin at a multiple of 8.
fn header(tensors: &[HostTensor<'_>], metadata: &BTreeMap<String, String>) -> io::Result<Vec<u8>> {
    // Written by hand rather than through the safetensors crate, whose metadata is a hash map
    // and comes out in another order each time: the same run must give the same bytes.
    let mut header = serde_json::Map::new();
    if !metadata.is_empty() {
        header.insert("__metadata__".to_owned(), serde_json::to_value(metadata)?);
    }
    let mut start = 0;
    for (name, shape, values) in tensors {
        let end = start + size_of_val(*values);
        let entry = serde_json::json!({
            "dtype": "F32",
            "shape": shape,
            "data_offsets": [start, end],
        });
        header.insert((*name).to_owned(), entry);
        start = end;
    }
    let mut json = serde_json::to_vec(&header)?;
    json.resize(json.len().next_multiple_of(8), b' ');
    Ok(json)
}
