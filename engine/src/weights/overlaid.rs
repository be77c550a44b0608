//! Tensors that extend, replace or change those of a checkpoint's files.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::checkpoint::Shard;
use super::container::{Entry, Stored};
use super::encode::encode;
use super::named::Tensor;
use super::{Checkpoint, Storage, TensorView};
use crate::error::WeightsError;
use crate::tensor::DType;

/// The name, in its layer, of the matrix [R, K] that an adapter of low rank applies first.
pub const LOW_RANK_DOWN: &str = "low_rank_down";

/// The name, in its layer, of the matrix [N, R] that an adapter of low rank applies second.
pub const LOW_RANK_UP: &str = "low_rank_up";

/// What an adapter makes of a stored tensor.
pub trait Change: Send + Sync {
    /// The elements of `stored` with the change applied, in the same number and order.
    ///
    /// # Errors
    /// The change's source cannot be read, or the result is out of range.
    fn apply(&self, stored: &TensorView<'_>) -> Result<Vec<f32>, WeightsError>;
}

/// A stored tensor that a [`Change`] is applied to each time that it is asked for. Nothing is kept:
/// a streamed weight is merged again for every pass.
#[derive(Clone)]
pub struct Merge {
    /// The tensor's name.
    pub name: String,
    /// The type to which the result is rounded.
    pub dtype: DType,
    /// Identifies this change in fingerprints.
    pub mark: String,
    /// The change.
    pub change: Arc<dyn Change>,
}

impl Merge {
    /// The tensor that is handed out for `stored`.
    pub(super) fn of<'a>(&self, stored: &TensorView<'a>) -> Result<TensorView<'a>, WeightsError> {
        let values = self.change.apply(stored)?;
        let bytes = encode(self.dtype, 1.0, &values);
        Ok(TensorView::new(
            stored.name,
            self.dtype,
            stored.shape,
            bytes,
        ))
    }
}

impl fmt::Debug for Merge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Merge")
            .field("name", &self.name)
            .field("dtype", &self.dtype)
            .finish_non_exhaustive()
    }
}

/// Tensors made in memory, and changes of stored ones. Cloning shares them.
#[derive(Clone)]
pub struct Overlay {
    origin: String,
    tensors: Vec<Made>,
    merges: Vec<Merge>,
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
    /// endian and row-major; and changes to merge into stored ones. `origin` names their source in
    /// messages.
    #[must_use]
    pub fn new(
        origin: &str,
        made: impl IntoIterator<Item = (String, DType, Vec<usize>, Vec<u8>)>,
        merges: Vec<Merge>,
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
        for merge in &merges {
            bytes.extend_from_slice(merge.name.as_bytes());
            bytes.extend_from_slice(merge.mark.as_bytes());
        }
        Self {
            origin: origin.to_owned(),
            tensors,
            merges,
            bytes: bytes.into(),
        }
    }
}

impl fmt::Debug for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overlay")
            .field("origin", &self.origin)
            .field("tensors", &self.tensors.len())
            .field("merges", &self.merges.len())
            .finish()
    }
}

impl Checkpoint {
    /// Adds tensors made in memory, each replacing a stored tensor of the same name, and merges changes
    /// into stored ones. All of these are part of the [`fingerprint`](Self::fingerprint). Call this last:
    /// tensors that [`renamed`](Self::renamed) derives from a merged tensor lack its change.
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
        for merge in &overlay.merges {
            let stored = self.by_name.get(&merge.name);
            if let Some(stored) = stored.and_then(|&at| self.tensors.get_mut(at)) {
                stored.merge = Some(merge.clone());
            }
        }
        let bytes = Storage::from(overlay.bytes.clone());
        self.push_shard(Shard::made(&overlay.origin, bytes));
        self
    }
}
