//! Lists the contents of a checkpoint without reading its tensors.

use std::collections::BTreeMap;

use super::Checkpoint;
use super::container::{Container, GgufTokenizer, gguf_tokenizer};
use super::named::Tensor;
use crate::error::WeightsError;
use crate::tensor::DType;

impl Checkpoint {
    /// Whether there is a tensor `name`.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.meta.is_some() || self.by_name.contains_key(name)
    }

    /// The shape of the tensor `name`, if there is one. Does not count as reading it.
    #[must_use]
    pub fn shape_of(&self, name: &str) -> Option<&[usize]> {
        let tensor = self.tensors.get(*self.by_name.get(name)?)?;
        Some(&tensor.shape)
    }

    /// The bytes of the tensor `name` as stored, of any element type. Does not mark the tensor as read.
    ///
    /// # Errors
    /// [`WeightsError::NoTensor`] and [`WeightsError::NoData`].
    pub fn bytes_of(&self, name: &str) -> Result<&[u8], WeightsError> {
        let tensor = self.tensor(name)?;
        let data = self.data_of(tensor)?;
        Ok(data.get(tensor.start..tensor.end).unwrap_or_default())
    }

    /// Refuses files that were opened for their heads and lack data.
    ///
    /// # Errors
    /// [`WeightsError::NoData`] with the first tensor that is not there.
    pub fn check_data(&self) -> Result<(), WeightsError> {
        self.tensors
            .iter()
            .try_for_each(|tensor| self.data_of(tensor).map(drop))
    }

    /// The element type of the tensor `name`, if there is one and Kinora has its type. Does not
    /// count as reading it.
    #[must_use]
    pub fn dtype_of(&self, name: &str) -> Option<DType> {
        let tensor = self.tensors.get(*self.by_name.get(name)?)?;
        Some(self.quantized_type(name, &tensor.shape, tensor.dtype()?))
    }

    /// The name in its file of the tensor `name`, if there is one.
    #[must_use]
    pub fn file_name_of(&self, name: &str) -> Option<&str> {
        let tensor = self.tensors.get(*self.by_name.get(name)?)?;
        Some(tensor.file_name.as_deref().unwrap_or(&tensor.name))
    }

    /// The names of all tensors, file by file, in the order of their bytes.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        self.tensors.iter().map(|tensor| tensor.name.as_str())
    }

    /// Element types (as the files name them) with the tensors and bytes they have, sorted by
    /// name: what `kinora info` prints.
    #[must_use]
    pub fn dtypes(&self) -> BTreeMap<String, (usize, u64)> {
        let mut dtypes = BTreeMap::new();
        for tensor in &self.tensors {
            let name = tensor.stored.name.clone().into_owned();
            let (count, bytes) = dtypes.entry(name).or_insert((0, 0));
            *count += 1;
            *bytes += tensor.bytes();
        }
        dtypes
    }

    /// The number of elements of all tensors.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        let elements = self.tensors.iter().map(Tensor::elements);
        elements.fold(0, u64::saturating_add)
    }

    /// The bytes of all tensors.
    #[must_use]
    pub fn tensor_bytes(&self) -> u64 {
        self.tensors.iter().map(Tensor::bytes).sum()
    }

    /// The files with their sizes in bytes.
    pub fn files(&self) -> impl ExactSizeIterator<Item = (&str, u64)> {
        self.shards
            .iter()
            .map(|shard| (shard.file.as_str(), shard.bytes.len() as u64))
    }

    /// What kind of file each of [`files`](Self::files) is.
    pub fn containers(&self) -> impl ExactSizeIterator<Item = Container> {
        self.shards.iter().map(|shard| shard.container)
    }

    /// The tokenizer in the keys of a GGUF file; `None` where no file carries one.
    ///
    /// # Errors
    /// [`WeightsError::Gguf`] for keys of other types than a tokenizer's.
    pub fn tokenizer(&self) -> Result<Option<GgufTokenizer<'_>>, WeightsError> {
        for shard in &self.shards {
            if let Some(found) = gguf_tokenizer(&shard.file, &shard.bytes)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The files' metadata (`__metadata__` of safetensors, the
    /// scalars and texts of GGUF).
    #[must_use]
    pub fn metadata(&self) -> BTreeMap<String, String> {
        let pairs = self.shards.iter().flat_map(|shard| shard.metadata.iter());
        pairs
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }
}
