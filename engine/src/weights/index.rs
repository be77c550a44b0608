//! The index of a sharded checkpoint: which shard holds which tensor.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{WeightsError, mistaken};

/// An index as long as a header may be is already absurd.
const INDEX_LIMIT: u64 = super::container::HEADER_LIMIT;

/// A checked `*.safetensors.index.json`.
pub(super) struct Index {
    /// The folder that holds the index and the shards.
    pub(super) dir: PathBuf,
    /// Tensor name → shard name.
    pub(super) weight_map: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct RawIndex {
    weight_map: BTreeMap<String, String>,
}

impl Index {
    /// Reads the index at `path`.
    ///
    /// # Errors
    /// [`WeightsError::Read`], or [`WeightsError::Index`] where the JSON is not an index, names no
    /// tensor, or names a shard that is not a plain file name.
    pub(super) fn read(path: &Path) -> Result<Self, WeightsError> {
        let read = |source| WeightsError::Read {
            path: path.to_owned(),
            source,
        };
        let invalid = |reason: String| WeightsError::Index {
            index: path.display().to_string(),
            reason,
        };
        let len = fs::metadata(path).map_err(read)?.len();
        if len > INDEX_LIMIT {
            return Err(invalid(format!("it is {len} bytes long")));
        }
        let bytes = fs::read(path).map_err(read)?;
        if let Some(found) = mistaken(&bytes) {
            return Err(invalid(format!("it is {found}")));
        }
        let RawIndex { weight_map } =
            serde_json::from_slice(&bytes).map_err(|error| invalid(error.to_string()))?;
        if weight_map.is_empty() {
            return Err(invalid("its weight_map is empty".to_owned()));
        }
        // A name with a folder in it would let a downloaded index open any file of the machine.
        let plain =
            |shard: &str| !shard.contains(['/', '\\', ':']) && !matches!(shard, "" | "." | "..");
        if let Some(shard) = weight_map.values().find(|shard| !plain(shard)) {
            return Err(invalid(format!(
                "{} is not the name of a file beside it",
                super::container::shown(shard)
            )));
        }
        Ok(Self {
            dir: path.parent().map(Path::to_owned).unwrap_or_default(),
            weight_map,
        })
    }

    /// The shards' names, each once, sorted.
    pub(super) fn shards(&self) -> Vec<&str> {
        let mut shards: Vec<&str> = self.weight_map.values().map(String::as_str).collect();
        shards.sort_unstable();
        shards.dedup();
        shards
    }
}
