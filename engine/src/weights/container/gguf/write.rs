//! The beginning of a GGUF file: keys and tensors, to be followed by the tensors' bytes.

use super::element::Element;
use super::{ALIGNMENT, MAGIC, count};
use crate::error::{GgufFault, WeightsError};
use crate::tensor::DType;
use crate::weights::container::shown;

const VERSION: u32 = 3;

/// A key's value in a GGUF file that is written.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum GgufValue {
    /// `UINT32`.
    U32(u32),
    /// `FLOAT32`.
    F32(f32),
    /// `BOOL`.
    Bool(bool),
    /// `STRING`.
    Text(String),
    /// A list of `INT32`.
    Numbers(Vec<i32>),
    /// A list of `FLOAT32`.
    Floats(Vec<f32>),
    /// A list of `STRING`.
    Texts(Vec<String>),
    /// A list of `UINT8`.
    Bytes(Vec<u8>),
}

/// The header of a GGUF file (version 3) that is to be written: everything before the tensors' bytes.
///
/// Keys and tensors are added, [`to_bytes`](Self::to_bytes) is written, and after it the bytes of
/// each tensor in the order in which they were added, each padded with zeros to
/// [`ALIGNMENT`](Self::ALIGNMENT).
///
/// ```
/// use kinora::tensor::DType;
/// use kinora::weights::{Checkpoint, GgufHeader};
/// # fn main() -> Result<(), kinora::error::WeightsError> {
/// let mut header = GgufHeader::new("wan");
/// header.tensor("head.weight", DType::F32, &[2, 3])?;
/// let mut file = header.to_bytes();
/// file.extend([0; 24]);
/// file.extend(vec![0; GgufHeader::padding(24)]);
/// let checkpoint = Checkpoint::from_bytes("a.gguf", file, "transformer")?;
/// assert_eq!(checkpoint.get("head.weight", &[2, 3])?.to_f32(), [0.0; 6]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct GgufHeader {
    pairs: Vec<(String, GgufValue)>,
    /// Descriptions of tensors, as the file has them.
    tensors: Vec<u8>,
    count: u64,
    /// The bytes of the tensors so far, with their padding.
    data: u64,
}

impl GgufHeader {
    /// What each tensor's beginning is a multiple of, in bytes from the beginning of the data.
    pub const ALIGNMENT: usize = ALIGNMENT.1;

    /// A file of `architecture`, such as `wan`, and no tensor yet.
    #[must_use]
    pub fn new(architecture: &str) -> Self {
        let text = GgufValue::Text(architecture.to_owned());
        Self {
            pairs: vec![("general.architecture".to_owned(), text)],
            tensors: Vec::new(),
            count: 0,
            data: 0,
        }
    }

    /// Adds a key, which must be new.
    pub fn key(&mut self, key: impl Into<String>, value: GgufValue) {
        self.pairs.push((key.into(), value));
    }

    /// Adds a tensor, whose name must be new, of `shape`, outermost dimension first.
    ///
    /// # Errors
    /// [`WeightsError::Gguf`] for a type that the format does not have and for rows that are no
    /// whole number of the type's blocks, [`WeightsError::SizeOverflow`].
    pub fn tensor(
        &mut self,
        name: &str,
        dtype: DType,
        shape: &[usize],
    ) -> Result<(), WeightsError> {
        let fault = |fault| WeightsError::Gguf {
            file: "the file to be written".to_owned(),
            fault,
        };
        let element = Element::for_dtype(dtype).ok_or_else(|| {
            fault(GgufFault::NoElement {
                tensor: shown(name),
                dtype,
            })
        })?;
        let row = shape.last().copied().unwrap_or(1);
        if !row.is_multiple_of(element.block) {
            return Err(fault(GgufFault::Row {
                tensor: shown(name),
                shape: shape.to_vec(),
                element: element.name,
                block: element.block,
            }));
        }
        let size = count(shape).and_then(|elements| element.bytes(elements));
        let end = size.and_then(|size| {
            let end = self.data.checked_add(size)?;
            end.checked_next_multiple_of(Self::ALIGNMENT as u64)
        });
        let end = end.ok_or_else(|| WeightsError::SizeOverflow {
            file: "the file to be written".to_owned(),
            tensor: shown(name),
            shape: shape.to_vec(),
        })?;
        put_text(&mut self.tensors, name);
        self.tensors.extend((shape.len() as u32).to_le_bytes());
        for &extent in shape.iter().rev() {
            self.tensors.extend((extent as u64).to_le_bytes());
        }
        self.tensors.extend(element.number.to_le_bytes());
        self.tensors.extend(self.data.to_le_bytes());
        self.count += 1;
        self.data = end;
        Ok(())
    }

    /// The zeros that pad a tensor of this many bytes.
    #[must_use]
    pub const fn padding(bytes: usize) -> usize {
        (Self::ALIGNMENT - bytes % Self::ALIGNMENT) % Self::ALIGNMENT
    }

    /// The padded header, which starts the file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend(VERSION.to_le_bytes());
        out.extend(self.count.to_le_bytes());
        out.extend((self.pairs.len() as u64).to_le_bytes());
        for (key, value) in &self.pairs {
            put_text(&mut out, key);
            put_value(&mut out, value);
        }
        out.extend(&self.tensors);
        out.resize(out.len() + Self::padding(out.len()), 0);
        out
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

/// A type's number and a value; `value.rs` reads both.
fn put_value(out: &mut Vec<u8>, value: &GgufValue) {
    let kind: u32 = match value {
        GgufValue::U32(_) => 4,
        GgufValue::F32(_) => 6,
        GgufValue::Bool(_) => 7,
        GgufValue::Text(_) => 8,
        GgufValue::Numbers(_)
        | GgufValue::Floats(_)
        | GgufValue::Texts(_)
        | GgufValue::Bytes(_) => 9,
    };
    out.extend(kind.to_le_bytes());
    match value {
        GgufValue::U32(number) => out.extend(number.to_le_bytes()),
        GgufValue::F32(number) => out.extend(number.to_le_bytes()),
        GgufValue::Bool(value) => out.push(u8::from(*value)),
        GgufValue::Text(text) => put_text(out, text),
        GgufValue::Numbers(numbers) => {
            put_list(out, 5, numbers.len());
            out.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        }
        GgufValue::Floats(numbers) => {
            put_list(out, 6, numbers.len());
            out.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        }
        GgufValue::Texts(texts) => {
            put_list(out, 8, texts.len());
            texts.iter().for_each(|text| put_text(out, text));
        }
        GgufValue::Bytes(bytes) => {
            put_list(out, 0, bytes.len());
            out.extend(bytes);
        }
    }
}

/// The head of a list: its elements' type and how many there are.
fn put_list(out: &mut Vec<u8>, kind: u32, count: usize) {
    out.extend(kind.to_le_bytes());
    out.extend((count as u64).to_le_bytes());
}
