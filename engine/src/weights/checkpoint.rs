//! The weights of one model part, asked for by name and shape.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::Ordering;

use super::container::{Container, Extent, shown};
use super::named::Tensor;
use super::quantized::Quantization;
use super::scaled::Coding;
use super::{Storage, TensorView, nearest};
use crate::error::WeightsError;
use crate::tensor::DType;

/// How many of the unread tensors an error names.
const UNREAD_SHOWN: usize = 4;

/// The weights of one model part (`transformer`, `text_encoder`, `vae`): a file of any
/// [`Container`], several files, shards with an index, or a file's bytes in memory.
///
/// Tensors are asked for by name with the shape they must have: the file's own names, or the
/// model's where [`renamed`](Self::renamed) gave them. Each one asked for is remembered, so that
/// [`check_all_read`](Self::check_all_read) can refuse a checkpoint that holds more than the model
/// uses.
///
/// A mapped file must not be written to or shortened while the checkpoint lives, see [`Storage`].
///
/// ```no_run
/// # fn main() -> Result<(), kinora::error::WeightsError> {
/// use kinora::weights::Checkpoint;
/// let vae = Checkpoint::open("model/vae", "vae")?;
/// let weight = vae.get("decoder.conv_in.weight", &[384, 16, 3, 3, 3])?;
/// assert_eq!(weight.bytes.len(), weight.dtype.bytes(weight.len()));
/// # Ok(())
/// # }
/// ```
pub struct Checkpoint {
    pub(super) part: String,
    /// The file, or the index of a sharded checkpoint, for messages.
    pub(super) origin: String,
    pub(super) shards: Vec<Shard>,
    pub(super) tensors: Vec<Tensor>,
    pub(super) by_name: HashMap<String, usize>,
    /// Holds whatever is asked for, in this type and without a byte.
    pub(super) meta: Option<DType>,
    pub(super) quantization: Option<Quantization>,
    /// How much of its files must be there.
    pub(super) extent: Extent,
}

/// One file of a checkpoint.
pub(super) struct Shard {
    /// The path or the name that messages show.
    pub(super) file: String,
    pub(super) bytes: Storage,
    /// Where the data begins.
    pub(super) data_start: usize,
    pub(super) container: Container,
    pub(super) metadata: BTreeMap<String, String>,
}

impl Shard {
    /// Bytes made in memory, stored without encoding.
    pub(super) fn made(origin: &str, bytes: Storage) -> Self {
        Self {
            file: origin.to_owned(),
            bytes,
            data_start: 0,
            container: Container::Safetensors,
            metadata: BTreeMap::new(),
        }
    }
}

impl Checkpoint {
    /// A checkpoint that holds whatever is asked for, as elements of `dtype`, and not a byte of it:
    /// for planning a model that is not at hand.
    #[must_use]
    pub fn meta(part: &str, dtype: DType) -> Self {
        Self {
            meta: Some(dtype),
            ..Self::empty(part, "imagined")
        }
    }

    /// The model part's name, as given.
    #[must_use]
    pub fn part(&self) -> &str {
        &self.part
    }

    /// The file, or the index of a sharded checkpoint.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The tensor `name`, which must have the shape `expected`.
    ///
    /// # Errors
    /// [`WeightsError::NoTensor`] with the nearest names, [`WeightsError::Shape`],
    /// [`WeightsError::Unsupported`] for a type that Kinora does not compute with, or
    /// [`WeightsError::NoData`] where the file was opened for its head and ends before the tensor.
    pub fn get<'a>(
        &'a self,
        name: &'a str,
        expected: &'a [usize],
    ) -> Result<TensorView<'a>, WeightsError> {
        if self.meta.is_some() {
            let dtype = self.type_of(name, expected)?;
            return Ok(TensorView::new(name, dtype, expected, &[][..]));
        }
        self.view(self.expected(name, expected)?)
    }

    /// The element type of the tensor `name`, which must have the shape `expected`: what
    /// [`get`](Self::get) hands out, without reading the elements.
    ///
    /// # Errors
    /// Those of [`get`](Self::get).
    pub fn type_of(&self, name: &str, expected: &[usize]) -> Result<DType, WeightsError> {
        if let Some(dtype) = self.meta {
            return Ok(self.quantized_type(name, expected, dtype));
        }
        let tensor = self.expected(name, expected)?;
        let dtype = tensor.dtype().filter(|&dtype| dtype != DType::U32);
        let dtype = dtype.ok_or_else(|| self.unsupported(tensor))?;
        Ok(self.quantized_type(name, expected, dtype))
    }

    /// The tensor `name`, read, if it has the shape `expected`.
    fn expected(&self, name: &str, expected: &[usize]) -> Result<&Tensor, WeightsError> {
        let tensor = self.tensor(name)?;
        tensor.read.store(true, Ordering::Relaxed);
        if tensor.shape == expected {
            return Ok(tensor);
        }
        Err(WeightsError::Shape {
            part: self.part.clone(),
            file: self.file_of(tensor),
            tensor: tensor.shown(),
            found: tensor.shape.as_slice().into(),
            expected: expected.into(),
        })
    }

    /// The tensor `name` in whatever shape it has.
    ///
    /// # Errors
    /// Those of [`get`](Self::get), except for the shape.
    pub fn get_any(&self, name: &str) -> Result<TensorView<'_>, WeightsError> {
        let tensor = self.tensor(name)?;
        tensor.read.store(true, Ordering::Relaxed);
        self.view(tensor)
    }

    /// Rows of the table `name` of `shape` [rows, columns], one for each of `ids`, as f32:
    /// [`ids.len()`, columns], row-major. Only the rows' own pages are
    /// read, so that a token embedding of 2 GB is never loaded.
    ///
    /// # Errors
    /// Those of [`get`](Self::get), and [`WeightsError::NoRow`] for an id beyond the table.
    pub fn gather_rows(
        &self,
        name: &str,
        shape: [usize; 2],
        ids: &[u32],
    ) -> Result<Vec<f32>, WeightsError> {
        let table = self.get(name, &shape)?;
        let [rows, columns] = shape;
        let stride = table.dtype.bytes(columns);
        let mut values = Vec::with_capacity(ids.len() * columns);
        for &row in ids {
            let start = row as usize * stride;
            let bytes = (row as usize) < rows;
            let bytes = bytes
                .then(|| table.bytes.get(start..start + stride))
                .flatten();
            let bytes = bytes.ok_or_else(|| WeightsError::NoRow {
                part: self.part.clone(),
                tensor: shown(name),
                row,
                rows,
            })?;
            let from = values.len();
            (table.dtype.format().read)(bytes, &mut values);
            let scale = table.scale(row as usize);
            values
                .iter_mut()
                .skip(from)
                .for_each(|value| *value *= scale);
        }
        Ok(values)
    }

    /// The file of a tensor, if it is long enough to hold it.
    pub(super) fn data_of(&self, tensor: &Tensor) -> Result<&[u8], WeightsError> {
        let shard = self.shards.get(tensor.shard);
        let bytes: &[u8] = shard.map_or(&[], |shard| &shard.bytes);
        if tensor.end <= bytes.len() && self.beside(tensor).is_some() {
            return Ok(bytes);
        }
        Err(WeightsError::NoData {
            part: self.part.clone(),
            file: self.file_of(tensor),
            tensor: tensor.shown(),
        })
    }

    /// The bytes that a tensor's coding keeps beside it, if they are there.
    fn beside(&self, tensor: &Tensor) -> Option<&[u8]> {
        let Coding::Nvfp4(of) = &tensor.coding else {
            return Some(&[]);
        };
        self.shards
            .get(of.shard)?
            .bytes
            .get(of.place[0]..of.place[1])
    }

    /// The names of the tensors that were never requested, in the order of [`names`](Self::names).
    #[must_use]
    pub fn unread(&self) -> Vec<String> {
        let unread = self
            .tensors
            .iter()
            .filter(|tensor| !tensor.read.load(Ordering::Relaxed));
        unread.map(|tensor| tensor.name.clone()).collect()
    }

    /// Refuses a checkpoint that holds more than the model asked for, save for tensors whose
    /// names begin with one of `allowed` (such as `encoder.` for a VAE that only decodes).
    ///
    /// # Errors
    /// [`WeightsError::Unread`] with the number of tensors and the first names.
    pub fn check_all_read(&self, allowed: &[&str]) -> Result<(), WeightsError> {
        let mut unread = self.unread();
        unread.retain(|name| !allowed.iter().any(|prefix| name.starts_with(prefix)));
        if unread.is_empty() {
            return Ok(());
        }
        let mut names: Vec<String> = unread
            .iter()
            .take(UNREAD_SHOWN)
            .map(|name| shown(name))
            .collect();
        if unread.len() > UNREAD_SHOWN {
            names.push("…".to_owned());
        }
        Err(WeightsError::Unread {
            part: self.part.clone(),
            file: self.origin.clone(),
            count: unread.len(),
            names: names.join(", "),
        })
    }

    pub(super) fn shards(&self) -> &[Shard] {
        &self.shards
    }

    pub(super) fn push_shard(&mut self, shard: Shard) {
        self.shards.push(shard);
    }

    pub(super) fn empty(part: &str, origin: &str) -> Self {
        Self {
            part: part.to_owned(),
            origin: origin.to_owned(),
            shards: Vec::new(),
            tensors: Vec::new(),
            by_name: HashMap::new(),
            meta: None,
            quantization: None,
            extent: Extent::Whole,
        }
    }

    pub(super) fn tensor(&self, name: &str) -> Result<&Tensor, WeightsError> {
        let at = self.by_name.get(name).and_then(|&at| self.tensors.get(at));
        at.ok_or_else(|| WeightsError::NoTensor {
            part: self.part.clone(),
            file: self.origin.clone(),
            tensor: shown(name),
            nearest: nearest::suggestion(name, self.names()),
        })
    }

    pub(super) fn view<'a>(&'a self, tensor: &'a Tensor) -> Result<TensorView<'a>, WeightsError> {
        let beside = self.beside(tensor).unwrap_or_default();
        let elements = tensor.elements_of(self.data_of(tensor)?, beside);
        let (dtype, bytes, scales) = elements.ok_or_else(|| self.unsupported(tensor))?;
        let view = TensorView {
            scales,
            ..TensorView::new(&tensor.name, dtype, &tensor.shape, bytes)
        };
        let view = match &tensor.merge {
            None => view,
            Some(merge) => merge.of(&view)?,
        };
        match self.quantized_type(&tensor.name, &tensor.shape, view.dtype) {
            same if same == view.dtype => Ok(view),
            narrower => Ok(view.quantized(narrower).unwrap_or(view)),
        }
    }

    fn unsupported(&self, tensor: &Tensor) -> WeightsError {
        WeightsError::Unsupported {
            part: self.part.clone(),
            file: self.file_of(tensor),
            tensor: tensor.shown(),
            found: tensor.stored.name.clone().into_owned(),
        }
    }

    pub(super) fn file_of(&self, tensor: &Tensor) -> String {
        self.shards
            .get(tensor.shard)
            .map_or_else(|| self.origin.clone(), |shard| shard.file.clone())
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoint")
            .field("part", &self.part)
            .field("origin", &self.origin)
            .field("shards", &self.shards.len())
            .field("tensors", &self.tensors.len())
            .finish_non_exhaustive()
    }
}
