//! The header of a GGUF file, read as if it were hostile.
//!
//! Layout, little endian: `GGUF`, the version, the number of tensors and of key-value pairs, the
//! pairs, the tensors (name, extents with the innermost first, element type, offset), padding to
//! the alignment, the data. Offsets count from the beginning of the data.
//! (<https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>)

mod cursor;
mod element;
mod tokenizer;
mod value;
mod write;

use std::collections::{BTreeMap, HashSet};

use super::{Container, Contents, Entry, Extent, RANK_LIMIT, TENSOR_LIMIT, in_file, shown};
use crate::error::{GgufFault, WeightsError};
use cursor::Cursor;
use element::Element;
use value::Value;

pub use tokenizer::GgufTokenizer;
pub(in crate::weights) use tokenizer::tokenizer;
pub use write::{GgufHeader, GgufValue};

/// The first bytes of a file.
pub(super) const MAGIC: &[u8] = b"GGUF";

/// Versions that differ from each other in nothing that is read here; version 1 had counts of 32
/// bits.
const VERSIONS: [u32; 2] = [2, 3];

/// The key of the alignment of tensors' offsets, and its value where the file does not say.
const ALIGNMENT: (&str, usize) = ("general.alignment", 32);

/// Keys of the shapes of tensors that were given another to be quantised
/// (`comfy.gguf.orig_shape.NAME` in the files of ComfyUI-GGUF).
const ORIGINAL_SHAPE: &str = "comfy.gguf.orig_shape.";

/// The fewest bytes of a key-value pair: an empty key, a type and a byte.
const SHORTEST_PAIR: usize = 8 + 4 + 1;

/// The fewest bytes of a tensor's description: an empty name, no extents, a type and an offset.
const SHORTEST_TENSOR: usize = 8 + 4 + 4 + 8;

/// Reads and checks the header of `bytes`, all that there is of `file`.
///
/// # Errors
/// Each way in which a file can be truncated or corrupt, as its own [`WeightsError`].
pub(super) fn read(file: &str, bytes: &[u8], extent: Extent) -> Result<Contents, WeightsError> {
    let fault = |fault| WeightsError::Gguf {
        file: file.to_owned(),
        fault,
    };
    let mut cursor = Cursor::new(bytes);
    let (tensors, pairs) = counts(&mut cursor).map_err(fault)?;
    let pairs = Pairs::read(&mut cursor, pairs).map_err(fault)?;
    let tensors = read_tensors(&mut cursor, tensors).map_err(fault)?;
    let data_start = cursor.at().next_multiple_of(pairs.alignment);
    let data = bytes.len().saturating_sub(data_start) as u64;
    let mut entries = Vec::with_capacity(tensors.len());
    let mut names = HashSet::with_capacity(tensors.len());
    for tensor in tensors {
        if !names.insert(tensor.name) {
            return Err(WeightsError::Duplicate {
                file: file.to_owned(),
                tensor: shown(tensor.name),
            });
        }
        let entry = place(file, &pairs, &tensor, data_start)?;
        let end = (entry.end - data_start) as u64;
        if !extent.allows(end, data) {
            return Err(WeightsError::OutOfRange {
                file: file.to_owned(),
                tensor: shown(tensor.name),
                start: tensor.offset,
                end,
                data,
            });
        }
        entries.push(entry);
    }
    entries.sort_by_key(|entry| (entry.start, entry.end));
    check_apart(file, &entries, data_start)?;
    Ok(Contents {
        container: Container::Gguf,
        entries,
        metadata: pairs.metadata,
        data_start: data_start.min(bytes.len()),
    })
}

/// The numbers of tensors and of pairs, which the file has the bytes for.
fn counts(cursor: &mut Cursor<'_>) -> Result<(usize, usize), GgufFault> {
    cursor.take("its first bytes", MAGIC.len())?;
    let version = cursor.u32("its version")?;
    if !VERSIONS.contains(&version) {
        let big_endian = VERSIONS.contains(&version.swap_bytes());
        return Err(if big_endian {
            GgufFault::BigEndian
        } else {
            GgufFault::Version { version }
        });
    }
    let tensors = cursor.u64("the number of tensors")?;
    let pairs = cursor.u64("the number of keys")?;
    let tensors = cursor.count("the tensors' descriptions", tensors, SHORTEST_TENSOR)?;
    let pairs = cursor.count("the keys", pairs, SHORTEST_PAIR)?;
    for (what, count) in [("tensors", tensors), ("keys", pairs)] {
        if count > TENSOR_LIMIT {
            return Err(GgufFault::TooMany {
                what,
                count,
                limit: TENSOR_LIMIT,
            });
        }
    }
    Ok((tensors, pairs))
}

/// The contents of the key-value pairs.
struct Pairs {
    alignment: usize,
    /// Texts and numbers, by key; lists are left out.
    metadata: BTreeMap<String, String>,
    /// Shapes that tensors had before they were reshaped, by the tensors' names.
    shapes: BTreeMap<String, Vec<usize>>,
}

impl Pairs {
    fn read(cursor: &mut Cursor<'_>, count: usize) -> Result<Self, GgufFault> {
        let mut this = Self {
            alignment: ALIGNMENT.1,
            metadata: BTreeMap::new(),
            shapes: BTreeMap::new(),
        };
        let mut keys = HashSet::new();
        for _ in 0..count {
            let key = cursor.text("a key")?;
            if !keys.insert(key) {
                return Err(GgufFault::SameKey { key: shown(key) });
            }
            let value = Value::read(cursor, key)?;
            if key == ALIGNMENT.0 {
                this.alignment = value.alignment()?;
            }
            if let Some(tensor) = key.strip_prefix(ORIGINAL_SHAPE) {
                this.shapes.insert(tensor.to_owned(), value.shape(tensor)?);
            } else if let Some(text) = value.text() {
                this.metadata.insert(key.to_owned(), text);
            }
        }
        Ok(this)
    }
}

/// One tensor, as the header describes it.
struct Described<'a> {
    name: &'a str,
    /// Outermost first, unlike in the file.
    shape: Vec<usize>,
    element: Element,
    offset: u64,
}

fn read_tensors<'a>(
    cursor: &mut Cursor<'a>,
    count: usize,
) -> Result<Vec<Described<'a>>, GgufFault> {
    let mut tensors = Vec::new();
    for _ in 0..count {
        let name = cursor.text("a tensor's name")?;
        let rank = cursor.u32("a tensor's rank")?;
        if rank as usize > RANK_LIMIT {
            return Err(GgufFault::Rank {
                tensor: shown(name),
                rank,
                limit: RANK_LIMIT,
            });
        }
        let mut shape = Vec::with_capacity(rank as usize);
        for _ in 0..rank {
            let extent = cursor.u64("a tensor's shape")?;
            // An extent beyond usize becomes its maximum, which the check of the size rejects as overflow.
            shape.push(usize::try_from(extent).unwrap_or(usize::MAX));
        }
        shape.reverse();
        let number = cursor.u32("a tensor's type")?;
        let element = Element::of(number).ok_or_else(|| GgufFault::Element {
            tensor: shown(name),
            number,
        })?;
        let offset = cursor.u64("a tensor's offset")?;
        tensors.push(Described {
            name,
            shape,
            element,
            offset,
        });
    }
    Ok(tensors)
}

/// The range of a tensor's bytes in the file, and its shape.
fn place(
    file: &str,
    pairs: &Pairs,
    tensor: &Described<'_>,
    data_start: usize,
) -> Result<Entry, WeightsError> {
    let fault = |fault| WeightsError::Gguf {
        file: file.to_owned(),
        fault,
    };
    let name = tensor.name;
    let row = tensor.shape.last().copied().unwrap_or(1);
    if !row.is_multiple_of(tensor.element.block) {
        return Err(fault(GgufFault::Row {
            tensor: shown(name),
            shape: tensor.shape.clone(),
            element: tensor.element.name,
            block: tensor.element.block,
        }));
    }
    if !tensor.offset.is_multiple_of(pairs.alignment as u64) {
        return Err(fault(GgufFault::Offset {
            tensor: shown(name),
            offset: tensor.offset,
            alignment: pairs.alignment,
        }));
    }
    let elements = count(&tensor.shape);
    let size = elements.and_then(|elements| tensor.element.bytes(elements));
    let end = size.and_then(|size| tensor.offset.checked_add(size));
    let place = end.and_then(|end| in_file(data_start, [tensor.offset, end]));
    let [start, end] = place.ok_or_else(|| WeightsError::SizeOverflow {
        file: file.to_owned(),
        tensor: shown(name),
        shape: tensor.shape.clone(),
    })?;
    let shape = match pairs.shapes.get(name) {
        None => tensor.shape.clone(),
        Some(original) if count(original) == elements => original.clone(),
        Some(original) => {
            return Err(fault(GgufFault::OriginalShape {
                tensor: shown(name),
                shape: tensor.shape.clone(),
                original: original.clone(),
            }));
        }
    };
    Ok(Entry {
        name: name.to_owned(),
        stored: tensor.element.stored(),
        shape,
        start,
        end,
    })
}

/// The number of elements, or `None` beyond what can be counted.
fn count(shape: &[usize]) -> Option<u64> {
    shape
        .iter()
        .try_fold(1u64, |product, &dim| product.checked_mul(dim as u64))
}

/// No two tensors may claim the same bytes. Between them there may be padding.
fn check_apart(file: &str, entries: &[Entry], data_start: usize) -> Result<(), WeightsError> {
    let mut before: Option<&Entry> = None;
    for entry in entries.iter().filter(|entry| entry.end > entry.start) {
        if let Some(first) = before.filter(|first| first.end > entry.start) {
            return Err(WeightsError::Overlap {
                file: file.to_owned(),
                first: shown(&first.name),
                second: shown(&entry.name),
                at: (entry.start - data_start) as u64,
                end: (first.end - data_start) as u64,
            });
        }
        before = Some(entry);
    }
    Ok(())
}
