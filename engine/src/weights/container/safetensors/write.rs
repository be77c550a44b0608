//! The beginning of a safetensors file: text and tensors, to be followed by the tensors' bytes.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::METADATA;
use crate::error::WeightsError;
use crate::tensor::DType;
use crate::weights::container::shown;

/// The header of a safetensors file to write: everything before the tensors' bytes.
///
/// Callers add tensors, write [`to_bytes`](Self::to_bytes), and then write each tensor's bytes in the
/// same order without gaps. The same tensors give the same header; the safetensors crate keeps
/// metadata in a hash map, whose order varies.
///
/// ```
/// use kinora::tensor::DType;
/// use kinora::weights::{Checkpoint, SafetensorsHeader};
/// # fn main() -> Result<(), kinora::error::WeightsError> {
/// let mut header = SafetensorsHeader::default();
/// header.tensor("head.weight", DType::F32, &[2, 3])?;
/// let mut file = header.to_bytes();
/// file.extend([0; 24]);
/// let checkpoint = Checkpoint::from_bytes("a.safetensors", file, "transformer")?;
/// assert_eq!(checkpoint.get("head.weight", &[2, 3])?.to_f32(), [0.0; 6]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct SafetensorsHeader {
    entries: Map<String, Value>,
    /// The bytes of the tensors so far.
    data: usize,
}

impl SafetensorsHeader {
    /// A header with this metadata and no tensors yet.
    #[must_use]
    pub fn new(metadata: &BTreeMap<String, String>) -> Self {
        let mut header = Self::default();
        if !metadata.is_empty() {
            header.entries.insert(METADATA.to_owned(), json!(metadata));
        }
        header
    }

    /// Adds a tensor of `shape`, outermost dimension first, of a type that the format has
    /// ([`DType::from_safetensors`]).
    ///
    /// # Errors
    /// [`WeightsError::Duplicate`] for a name that was given before.
    pub fn tensor(
        &mut self,
        name: &str,
        dtype: DType,
        shape: &[usize],
    ) -> Result<(), WeightsError> {
        let elements = shape.iter().product();
        let end = self.data.saturating_add(dtype.bytes(elements));
        let entry = json!({
            "dtype": dtype.name(),
            "shape": shape,
            "data_offsets": [self.data, end],
        });
        self.data = end;
        match self.entries.insert(name.to_owned(), entry) {
            None => Ok(()),
            Some(_) => Err(WeightsError::Duplicate {
                file: "the file to be written".to_owned(),
                tensor: shown(name),
            }),
        }
    }

    /// The bytes of the tensors: all of the file but its header.
    #[must_use]
    pub const fn data_len(&self) -> usize {
        self.data
    }

    /// The header, padded with spaces so that the data begin at a multiple of 8.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut json = Value::from(self.entries.clone()).to_string();
        while !json.len().is_multiple_of(8) {
            json.push(' ');
        }
        let mut out = (json.len() as u64).to_le_bytes().to_vec();
        out.extend(json.as_bytes());
        out
    }
}
