//! The zip archive of a `torch.save` file: the places of its pickle and its storages.

use std::collections::HashMap;
use std::ops::Range;

use rawzip::{CompressionMethod, ZipArchive, ZipArchiveEntryWayfinder, ZipSliceArchive};

use crate::error::TorchFault;
use crate::weights::container::{TENSOR_LIMIT, shown};

/// No `data.pkl` is longer than this: 8 MiB. That of a model of 1,100 tensors has 150 kB.
const PICKLE_LIMIT: usize = 1 << 23;

/// The contents of the archive.
pub(super) struct Archive<'a> {
    /// The bytes of `data.pkl`.
    pub(super) pickle: &'a [u8],
    /// The range of each storage's bytes in the file.
    pub(super) storages: HashMap<String, Range<usize>>,
}

/// An entry of the archive's directory that matters here.
struct Listed {
    path: String,
    place: ZipArchiveEntryWayfinder,
}

impl<'a> Archive<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, TorchFault> {
        let archive = ZipArchive::from_slice(bytes).map_err(unreadable)?;
        let listed = list(&archive)?;
        let mut pickles = listed.iter().filter_map(|entry| {
            // `NAME/data.pkl`: one folder deep.
            let folder = entry.path.strip_suffix("data.pkl")?;
            (folder.matches('/').count() == 1 && folder.ends_with('/')).then_some((folder, entry))
        });
        let (folder, pickle) = pickles.next().ok_or(TorchFault::NoPickle)?;
        let pickle = bytes
            .get(range(&archive, pickle)?)
            .filter(|pickle| pickle.len() <= PICKLE_LIMIT)
            .ok_or(TorchFault::TooMany {
                what: "bytes of data.pkl",
                limit: PICKLE_LIMIT,
            })?;
        let mut storages = HashMap::new();
        for entry in &listed {
            let Some(inside) = entry.path.strip_prefix(folder) else {
                continue;
            };
            if inside == "byteorder" && bytes.get(range(&archive, entry)?) == Some(b"big") {
                return Err(TorchFault::BigEndian);
            }
            if let Some(key) = inside.strip_prefix("data/") {
                let twice = storages.insert(key.to_owned(), range(&archive, entry)?);
                if twice.is_some() {
                    return Err(TorchFault::SameEntry {
                        path: shown(&entry.path),
                    });
                }
            }
        }
        Ok(Self { pickle, storages })
    }
}

fn unreadable(error: rawzip::Error) -> TorchFault {
    TorchFault::Archive {
        reason: error.to_string(),
    }
}

/// The archive's directory.
fn list(archive: &ZipSliceArchive<&[u8]>) -> Result<Vec<Listed>, TorchFault> {
    let mut entries = archive.entries();
    let mut listed = Vec::new();
    while let Some(entry) = entries.next_entry().map_err(unreadable)? {
        let path = entry.file_path();
        let Ok(path) = std::str::from_utf8(path.as_ref()) else {
            continue;
        };
        if listed.len() == TENSOR_LIMIT {
            return Err(TorchFault::TooMany {
                what: "entries of the archive",
                limit: TENSOR_LIMIT,
            });
        }
        if entry.compression_method() != CompressionMethod::STORE || entry.flags().is_encrypted() {
            return Err(TorchFault::Compressed { path: shown(path) });
        }
        listed.push(Listed {
            path: path.to_owned(),
            place: entry.wayfinder(),
        });
    }
    Ok(listed)
}

/// The range of an entry's bytes in the file.
fn range(archive: &ZipSliceArchive<&[u8]>, entry: &Listed) -> Result<Range<usize>, TorchFault> {
    let entry = archive.get_entry(entry.place).map_err(unreadable)?;
    let (start, end) = entry.compressed_data_range();
    // Both fit, since the entry lies within a slice.
    Ok(start as usize..end as usize)
}
