//! Files become a checkpoint: one, several, shards with an index, or bytes in memory.

use std::path::Path;

use super::checkpoint::Shard;
use super::container::{Container, Contents, shown};
use super::index::Index;
use super::locate::{Located, locate};
use super::named::Tensor;
use super::{Checkpoint, Extent, Storage};
use crate::error::WeightsError;

impl Checkpoint {
    /// Opens the weights at `path`: a folder of the diffusers layout, a file of any
    /// [`Container`] (recognised by its first bytes), or a `.safetensors.index.json`. `part` names the
    /// model part in messages.
    ///
    /// # Errors
    /// A [`WeightsError`] that names the file and what is wrong with it: missing, unreadable,
    /// truncated, corrupt, a shard missing, or an index that does not match its shards.
    pub fn open(path: impl AsRef<Path>, part: &str) -> Result<Self, WeightsError> {
        Self::open_to(path, part, Extent::Whole)
    }

    /// Like [`open`](Self::open), for files that are present up to `extent`.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn open_to(
        path: impl AsRef<Path>,
        part: &str,
        extent: Extent,
    ) -> Result<Self, WeightsError> {
        let located = locate(part, path.as_ref())?;
        let checkpoint = Self {
            extent,
            ..Self::empty(part, "no file")
        };
        match located {
            Located::Single(path) => checkpoint.with_files([path]),
            Located::Index(path) => checkpoint.with_shards(&path),
        }
    }

    /// Opens several files as one, such as the parts of a model that has no index. Their
    /// containers may differ.
    ///
    /// # Errors
    /// Those of [`open`](Self::open), and [`WeightsError::InTwoShards`] for a tensor in two files.
    pub fn open_files(
        paths: impl IntoIterator<Item = impl AsRef<Path>>,
        part: &str,
    ) -> Result<Self, WeightsError> {
        Self::empty(part, "no file").with_files(paths)
    }

    /// Reads a file of any [`Container`] from memory, at any alignment. `file` names it in
    /// messages.
    ///
    /// # Errors
    /// A [`WeightsError`] that says what is wrong with the bytes.
    pub fn from_bytes(
        file: &str,
        bytes: impl Into<Storage>,
        part: &str,
    ) -> Result<Self, WeightsError> {
        Self::from_bytes_to(file, bytes, part, Extent::Whole)
    }

    /// Like [`from_bytes`](Self::from_bytes), for a file that is present up to `extent`.
    ///
    /// # Errors
    /// Those of [`from_bytes`](Self::from_bytes).
    pub fn from_bytes_to(
        file: &str,
        bytes: impl Into<Storage>,
        part: &str,
        extent: Extent,
    ) -> Result<Self, WeightsError> {
        let mut checkpoint = Self {
            extent,
            ..Self::empty(part, file)
        };
        checkpoint.add_shard(file.to_owned(), bytes.into())?;
        checkpoint.with_scales()
    }

    fn with_files(
        mut self,
        paths: impl IntoIterator<Item = impl AsRef<Path>>,
    ) -> Result<Self, WeightsError> {
        for path in paths {
            let path = path.as_ref();
            let file = path.display().to_string();
            if self.shards.is_empty() {
                self.origin.clone_from(&file);
            }
            self.add_shard(file, Storage::map(path)?)?;
        }
        self.with_scales()
    }

    fn with_shards(mut self, path: &Path) -> Result<Self, WeightsError> {
        let index = Index::read(path)?;
        let origin = path.display().to_string();
        self.origin.clone_from(&origin);
        for shard in index.shards() {
            let path = index.dir.join(shard);
            if !path.is_file() {
                return Err(WeightsError::MissingShard {
                    index: origin,
                    shard: shown(shard),
                });
            }
            self.add_shard(path.display().to_string(), Storage::map(&path)?)?;
        }
        for (tensor, shard) in &index.weight_map {
            let file = index.dir.join(shard).display().to_string();
            let held = self
                .by_name
                .get(tensor)
                .and_then(|&at| self.tensors.get(at));
            if held.is_none_or(|tensor| self.file_of(tensor) != file) {
                return Err(WeightsError::NotInShard {
                    index: origin,
                    tensor: shown(tensor),
                    shard: shown(shard),
                });
            }
        }
        self.with_scales()
    }

    /// Adds a file; its tensors must have new names.
    fn add_shard(&mut self, file: String, bytes: Storage) -> Result<(), WeightsError> {
        let Contents {
            container,
            entries,
            metadata,
            data_start,
        } = Container::read(&file, &bytes, self.extent)?;
        for entry in entries {
            let at = self.tensors.len();
            if let Some(before) = self.by_name.insert(entry.name.clone(), at) {
                let first = self.tensors.get(before).map(|tensor| self.file_of(tensor));
                return Err(WeightsError::InTwoShards {
                    index: self.origin.clone(),
                    tensor: shown(&entry.name),
                    first: first.unwrap_or_default(),
                    second: file,
                });
            }
            self.tensors.push(Tensor::new(entry, self.shards.len()));
        }
        self.shards.push(Shard {
            file,
            bytes,
            data_start,
            container,
            metadata,
        });
        Ok(())
    }
}
