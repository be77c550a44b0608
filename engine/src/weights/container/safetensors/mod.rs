//! The header of a safetensors file, read as if it were hostile.
//!
//! Layout: 8 bytes of header length (little endian), the header (JSON: name → `dtype`, `shape`,
//! `data_offsets`), the data. The tensors' bytes must tile the data without a gap or an overlap.
//! (<https://github.com/huggingface/safetensors#format>)

mod write;

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use safetensors::Dtype as FileDtype;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

pub use write::SafetensorsHeader;

use super::{
    Container, Contents, Entry, Extent, HEADER_LIMIT, RANK_LIMIT, Stored, TENSOR_LIMIT, in_file,
    shown,
};
use crate::error::WeightsError;
use crate::tensor::DType;

/// The key of the metadata in the header.
const METADATA: &str = "__metadata__";

/// Reads and checks the header of `bytes`, all that there is of `file`.
///
/// # Errors
/// Each way in which a file can be truncated or corrupt, as its own [`WeightsError`].
pub(super) fn read(file: &str, bytes: &[u8], extent: Extent) -> Result<Contents, WeightsError> {
    let json = header_bytes(file, bytes)?;
    let data_start = 8 + json.len();
    let raw: RawHeader = serde_json::from_slice(json).map_err(|error| match duplicate(&error) {
        Some(tensor) => WeightsError::Duplicate {
            file: file.to_owned(),
            tensor,
        },
        None => WeightsError::HeaderJson {
            file: file.to_owned(),
            reason: error.to_string(),
        },
    })?;
    let mut tensors = raw.tensors;
    tensors.sort_by_key(|(_, tensor)| tensor.data_offsets);
    let data = (bytes.len() - data_start) as u64;
    let mut entries = Vec::with_capacity(tensors.len());
    let mut at = 0;
    for (name, tensor) in tensors {
        let [start, end] = tensor.data_offsets;
        check_size(file, &name, &tensor)?;
        if !extent.allows(end, data) {
            return Err(WeightsError::OutOfRange {
                file: file.to_owned(),
                tensor: shown(&name),
                start,
                end,
                data,
            });
        }
        if start < at {
            let first = entries.last().map_or("", |entry: &Entry| &entry.name);
            return Err(WeightsError::Overlap {
                file: file.to_owned(),
                first: shown(first),
                second: shown(&name),
                at: start,
                end: at,
            });
        }
        check_tiled(file, at, start)?;
        at = end;
        let place = in_file(data_start, [start, end]);
        let [start, end] = place.ok_or_else(|| overflow(file, &name, &tensor.shape.0))?;
        entries.push(Entry {
            name,
            stored: stored(tensor.dtype),
            shape: tensor.shape.0,
            start,
            end,
        });
    }
    check_tiled(file, at, data)?;
    Ok(Contents {
        container: Container::Safetensors,
        entries,
        metadata: raw.metadata,
        data_start,
    })
}

/// What Kinora reads a type of the format as.
fn stored(dtype: FileDtype) -> Stored {
    let name = dtype.to_string();
    match DType::from_safetensors(&name) {
        Some(dtype) => dtype.into(),
        None => Stored {
            name: name.into(),
            dtype: None,
        },
    }
}

/// The header's JSON, after the checks on its length.
fn header_bytes<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a [u8], WeightsError> {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return Err(WeightsError::TooShort {
            file: file.to_owned(),
            len: bytes.len() as u64,
        });
    };
    let header = u64::from_le_bytes(*length);
    if header > HEADER_LIMIT {
        return Err(WeightsError::HeaderTooLong {
            file: file.to_owned(),
            header,
            limit: HEADER_LIMIT,
        });
    }
    // At most 100 MB, so that the cast is exact on every target.
    rest.get(..header as usize)
        .ok_or_else(|| WeightsError::HeaderBeyondFile {
            file: file.to_owned(),
            header,
            rest: rest.len() as u64,
        })
}

/// The bytes of a tensor's data must be as many as its shape and type need.
fn check_size(file: &str, name: &str, tensor: &RawTensor) -> Result<(), WeightsError> {
    let shape = &tensor.shape.0;
    let bits = shape
        .iter()
        .try_fold(1u64, |product, &dim| product.checked_mul(dim as u64))
        .and_then(|elements| elements.checked_mul(tensor.dtype.bitsize() as u64))
        .ok_or_else(|| overflow(file, name, shape))?;
    let [start, end] = tensor.data_offsets;
    let expected = bits.div_ceil(8);
    if bits % 8 != 0 || end.checked_sub(start) != Some(expected) {
        return Err(WeightsError::Size {
            file: file.to_owned(),
            tensor: shown(name),
            form: format!("shape {shape:?} and type {}", tensor.dtype),
            expected,
            start,
            end,
        });
    }
    Ok(())
}

fn overflow(file: &str, name: &str, shape: &[usize]) -> WeightsError {
    WeightsError::SizeOverflow {
        file: file.to_owned(),
        tensor: shown(name),
        shape: shape.to_vec(),
    }
}

/// Nothing may lie between the end of one tensor and the start of the next.
fn check_tiled(file: &str, at: u64, start: u64) -> Result<(), WeightsError> {
    if start > at {
        return Err(WeightsError::Gap {
            file: file.to_owned(),
            start: at,
            end: start,
        });
    }
    Ok(())
}

struct RawHeader {
    tensors: Vec<(String, RawTensor)>,
    metadata: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTensor {
    dtype: FileDtype,
    shape: RawShape,
    data_offsets: [u64; 2],
}

struct RawShape(Vec<usize>);

/// The start of the error about a duplicate name. Serde errors carry only text, so it is parsed back.
const DUPLICATE: &str = "duplicate tensor ";

/// The tensor's name, where `error` is about a duplicate.
fn duplicate(error: &serde_json::Error) -> Option<String> {
    let text = error.to_string();
    let rest = text.strip_prefix(DUPLICATE)?;
    Some(
        rest.rsplit_once(" at line ")
            .map_or(rest, |(name, _)| name)
            .to_owned(),
    )
}

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HeaderVisitor;

        impl<'de> Visitor<'de> for HeaderVisitor {
            type Value = RawHeader;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            // A map type would silently keep the last of two tensors of one name.
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawHeader, A::Error> {
                let mut header = RawHeader {
                    tensors: Vec::new(),
                    metadata: BTreeMap::new(),
                };
                let mut seen = HashSet::new();
                while let Some(name) = map.next_key::<String>()? {
                    if seen.len() > TENSOR_LIMIT {
                        return Err(A::Error::custom(format_args!(
                            "more than {TENSOR_LIMIT} tensors"
                        )));
                    }
                    if !seen.insert(name.clone()) {
                        return Err(A::Error::custom(format_args!(
                            "{DUPLICATE}{}",
                            shown(&name)
                        )));
                    }
                    if name == METADATA {
                        let metadata: Option<BTreeMap<String, String>> = map.next_value()?;
                        header.metadata = metadata.unwrap_or_default();
                    } else {
                        header.tensors.push((name, map.next_value()?));
                    }
                }
                Ok(header)
            }
        }

        deserializer.deserialize_map(HeaderVisitor)
    }
}

impl<'de> Deserialize<'de> for RawShape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ShapeVisitor;

        impl<'de> Visitor<'de> for ShapeVisitor {
            type Value = RawShape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a shape of at most {RANK_LIMIT} dimensions")
            }

            // Bounded, so that a header of zeros cannot take eight times its size in memory.
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<RawShape, A::Error> {
                let mut shape = Vec::new();
                while shape.len() < RANK_LIMIT {
                    match seq.next_element()? {
                        Some(dim) => shape.push(dim),
                        None => return Ok(RawShape(shape)),
                    }
                }
                match seq.next_element::<IgnoredAny>()? {
                    Some(_) => Err(A::Error::invalid_length(RANK_LIMIT + 1, &self)),
                    None => Ok(RawShape(shape)),
                }
            }
        }

        deserializer.deserialize_seq(ShapeVisitor)
    }
}
