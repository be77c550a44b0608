//! Tensors made in memory that a checkpoint holds beside those of its files, or in their place.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::checkpoint::Shard;
use super::container::{Entry, Stored};
use super::named::Tensor;
use super::{Checkpoint, Storage};
use crate::tensor::DType;

/// The name, in its layer, of the matrix [R, K] that an adapter of low rank applies first.
pub const LOW_RANK_DOWN: &str = "low_rank_down";

/// The name, in its layer, of the matrix [N, R] that an adapter of low rank applies second.
pub const LOW_RANK_UP: &str = "low_rank_up";

/// Tensors made in memory. Cloning shares them.
#[derive(Clone)]
pub struct Overlay {
    origin: String,
    tensors: Vec<Made>,
    bytes: Arc<[u8]>,
}

#[derive(Clone)]
struct Made {
    name: String,
    dtype: DType,
    shape: Vec<usize>,
    place: Range<usize>,
}

impl Overlay {
    /// Tensors as (name, element type, shape, elements): as many elements as the shape has, little
    /// endian and row-major. `origin` names in messages where they come from.
    #[must_use]
    pub fn new(
        origin: &str,
        made: impl IntoIterator<Item = (String, DType, Vec<usize>, Vec<u8>)>,
    ) -> Self {
        let (mut tensors, mut bytes) = (Vec::new(), Vec::new());
        for (name, dtype, shape, elements) in made {
            let start = bytes.len();
            bytes.extend_from_slice(&elements);
            tensors.push(Made {
                name,
                dtype,
                shape,
                place: start..bytes.len(),
            });
        }
        // Names decide what equal bytes mean, so that a fingerprint takes them in.
        for tensor in &tensors {
            bytes.extend_from_slice(tensor.name.as_bytes());
        }
        Self {
            origin: origin.to_owned(),
            tensors,
            bytes: bytes.into(),
        }
    }
}

impl fmt::Debug for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overlay")
            .field("origin", &self.origin)
            .field("tensors", &self.tensors.len())
            .finish()
    }
}

impl Checkpoint {
    /// The same checkpoint with tensors made in memory: each in the place of the stored one of its
    /// name, or beside them. They are part of the [`fingerprint`](Self::fingerprint).
    #[must_use]
    pub fn overlaid(mut self, overlay: &Overlay) -> Self {
        for made in &overlay.tensors {
            let entry = Entry {
                name: made.name.clone(),
                stored: Stored::from(made.dtype),
                shape: made.shape.clone(),
                start: made.place.start,
                end: made.place.end,
            };
            let entry = Tensor::new(entry, self.shards().len());
            let stored = self.by_name.get(&made.name);
            match stored.and_then(|&at| self.tensors.get_mut(at)) {
                Some(stored) => *stored = entry,
                None => {
                    self.by_name.insert(made.name.clone(), self.tensors.len());
                    self.tensors.push(entry);
                }
            }
        }
        let bytes = Storage::from(overlay.bytes.clone());
        self.push_shard(Shard::made(&overlay.origin, bytes));
        self
    }
}
