//! Reads the tensors of `torch.save` files (`.pth`, `.pt`, `.ckpt`, `.bin`) without running any code.
//!
//! Such a file is a zip archive, uncompressed: `NAME/data.pkl`, a pickle of the saved dictionary
//! whose tensors refer to storages, and `NAME/data/KEY`, the bytes of each storage.
//! (`torch/serialization.py`)

mod archive;
mod element;
mod object;
mod pickle;
mod tensor;

use std::collections::{BTreeMap, HashSet};

use super::{Container, Contents, Entry, Stored, TENSOR_LIMIT, shown};
use crate::error::{TorchFault, WeightsError};
use archive::Archive;
use object::{Id, Object};
use pickle::Pickle;
use tensor::Tensor;

/// The first bytes of a file since torch 1.6: a zip archive.
pub(super) const MAGIC: &[u8] = b"PK\x03\x04";

/// The first bytes of a file of an older torch: a pickle of one number.
pub(super) const LEGACY: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";

/// Reads and checks the tensors of `bytes`, the whole of `file`.
///
/// # Errors
/// Each way in which a file can be truncated, corrupt or more than tensors, as its own
/// [`TorchFault`].
pub(super) fn read(file: &str, bytes: &[u8]) -> Result<Contents, WeightsError> {
    let fault = |fault| WeightsError::Torch {
        file: file.to_owned(),
        fault,
    };
    if bytes.starts_with(LEGACY) {
        return Err(fault(TorchFault::Legacy));
    }
    let archive = Archive::open(bytes).map_err(fault)?;
    let pickle = Pickle::load(archive.pickle).map_err(fault)?;
    let mut entries = Vec::new();
    let mut names = HashSet::new();
    for &(name, value) in state_dict(&pickle).map_err(fault)? {
        let Some(Object::Tensor(tensor)) = pickle.object(value) else {
            // A counter, a text, the versions of modules.
            continue;
        };
        let Some(&Object::Text(name)) = pickle.object(name) else {
            return Err(fault(TorchFault::Nameless));
        };
        if !names.insert(name) {
            return Err(WeightsError::Duplicate {
                file: file.to_owned(),
                tensor: shown(name),
            });
        }
        if entries.len() == TENSOR_LIMIT {
            return Err(fault(TorchFault::TooMany {
                what: "tensors",
                limit: TENSOR_LIMIT,
            }));
        }
        entries.push(entry(&archive, name, tensor).map_err(fault)?);
    }
    entries.sort_by_key(|entry| (entry.start, entry.end));
    Ok(Contents {
        container: Container::Torch,
        data_start: entries.first().map_or(bytes.len(), |entry| entry.start),
        entries,
        metadata: BTreeMap::new(),
    })
}

/// The dictionary of tensors: the saved object, or the only dictionary in it that holds tensors
/// (`{"state_dict": {…}, "epoch": 3}`).
fn state_dict<'p>(pickle: &'p Pickle<'_>) -> Result<&'p [(Id, Id)], TorchFault> {
    let root = dictionary(pickle, pickle.root).ok_or(TorchFault::NoDictionary)?;
    if holds_tensors(pickle, root) {
        return Ok(root);
    }
    let inner = root
        .iter()
        .filter_map(|&(key, value)| Some((key, dictionary(pickle, value)?)))
        .filter(|(_, dictionary)| holds_tensors(pickle, dictionary));
    let inner: Vec<(Id, &[(Id, Id)])> = inner.collect();
    match inner.as_slice() {
        [(_, only)] => Ok(only),
        [] => Err(TorchFault::NoTensors {
            keys: keys(pickle, root.iter().map(|&(key, _)| key)),
        }),
        several => Err(TorchFault::Several {
            keys: keys(pickle, several.iter().map(|&(key, _)| key)),
        }),
    }
}

fn dictionary<'p>(pickle: &'p Pickle<'_>, id: Id) -> Option<&'p [(Id, Id)]> {
    match pickle.object(id)? {
        Object::Dict(items) => Some(items),
        _ => None,
    }
}

fn holds_tensors(pickle: &Pickle<'_>, items: &[(Id, Id)]) -> bool {
    items
        .iter()
        .any(|&(_, value)| matches!(pickle.object(value), Some(Object::Tensor(_))))
}

/// The first keys for a message.
fn keys(pickle: &Pickle<'_>, ids: impl Iterator<Item = Id>) -> String {
    const SHOWN: usize = 4;
    let texts = ids.filter_map(|id| match pickle.object(id) {
        Some(Object::Text(text)) => Some(shown(text)),
        _ => None,
    });
    let mut texts: Vec<String> = texts.take(SHOWN + 1).collect();
    match texts.len() {
        0 => return "none".to_owned(),
        count if count > SHOWN => texts[SHOWN] = "…".to_owned(),
        _ => {}
    }
    texts.join(", ")
}

/// A tensor's type, shape and place in the file.
fn entry(archive: &Archive<'_>, name: &str, tensor: &Tensor<'_>) -> Result<Entry, TorchFault> {
    let storage = archive.storages.get(tensor.storage.key);
    let storage = storage.ok_or_else(|| TorchFault::NoStorage {
        tensor: shown(name),
        key: shown(tensor.storage.key),
    })?;
    let len = storage.len();
    if tensor.storage.bytes() != Some(len as u64) {
        return Err(TorchFault::StorageSize {
            key: shown(tensor.storage.key),
            claimed: tensor.storage.bytes().unwrap_or(u64::MAX),
            len: len as u64,
        });
    }
    let beyond = || TorchFault::Beyond {
        tensor: shown(name),
        form: format!(
            "shape {:?}, strides {:?} and offset {}",
            tensor.shape, tensor.strides, tensor.offset
        ),
        key: shown(tensor.storage.key),
        len: len as u64,
    };
    let range = tensor.range().filter(|range| range.end <= len);
    let range = range.ok_or_else(beyond)?;
    let stored = if tensor.is_contiguous() {
        tensor.element.stored()
    } else {
        Stored {
            name: format!("{} with strides {:?}", tensor.element.name, tensor.strides).into(),
            dtype: None,
        }
    };
    Ok(Entry {
        name: name.to_owned(),
        stored,
        shape: tensor.shape.clone(),
        start: storage.start + range.start,
        end: storage.start + range.end,
    })
}
