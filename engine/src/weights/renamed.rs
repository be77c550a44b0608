//! The model's names for tensors that their file calls otherwise.

use std::collections::HashMap;
use std::ops::Range;

use super::Checkpoint;
use super::container::shown;
use super::named::Tensor;
use crate::error::WeightsError;

/// What becomes of a stored tensor under the model's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renamed {
    /// It keeps its name and shape.
    Kept,
    /// The model does not use it; it is ignored.
    Dropped,
    /// It is read as these, which share its bytes.
    As(Vec<Piece>),
}

impl Renamed {
    /// The whole tensor under the name `name`.
    #[must_use]
    pub fn to(name: impl Into<String>) -> Self {
        Self::As(vec![Piece::named(name)])
    }
}

impl From<Piece> for Renamed {
    fn from(piece: Piece) -> Self {
        Self::As(vec![piece])
    }
}

/// A stored tensor, or some rows of it, as the model knows it. Nothing is copied.
///
/// ```
/// use kinora::weights::Piece;
/// // A fused matrix of queries, keys and values, [3 · 384, 384]: its keys.
/// let keys = Piece::named("to_k.weight").rows(384..768);
/// // A scale that the file holds as [384, 1, 1] and the model wants as [384, 1, 1, 1].
/// let gamma = Piece::named("norm.gamma").shaped([384, 1, 1, 1]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    name: String,
    rows: Option<Range<usize>>,
    shape: Option<Vec<usize>>,
}

impl Piece {
    /// The whole tensor under the model's name for it.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            rows: None,
            shape: None,
        }
    }

    /// Only these rows, counted along the outermost dimension.
    #[must_use]
    pub fn rows(mut self, rows: Range<usize>) -> Self {
        self.rows = Some(rows);
        self
    }

    /// In this shape, of as many elements (after [`rows`](Self::rows) took some).
    #[must_use]
    pub fn shaped(mut self, shape: impl Into<Vec<usize>>) -> Self {
        self.shape = Some(shape.into());
        self
    }

    /// This piece of `tensor`, or an error that names the part `tensor` lacks.
    fn of(self, tensor: &Tensor) -> Result<Tensor, String> {
        let mut shape = tensor.shape.clone();
        let (mut start, mut end) = (tensor.start, tensor.end);
        let mut scales = tensor.scales.clone();
        let mut coding = tensor.coding.clone();
        if let Some(rows) = self.rows {
            let refused = || format!("rows {}..{}", rows.start, rows.end);
            let [all, inner @ ..] = shape.as_mut_slice() else {
                return Err(refused());
            };
            if rows.start > rows.end || rows.end > *all {
                return Err(refused());
            }
            if rows != (0..*all) {
                // A row must have whole bytes, and whole blocks of a quantised type.
                let elements = inner.iter().fold(1, |n: usize, &dim| n.saturating_mul(dim));
                let stored = tensor.stored.dtype.ok_or_else(refused)?;
                let stride = coding.stride(stored, elements).ok_or_else(refused)?;
                coding = coding.rows_from(rows.start);
                // No overflow, since all rows are within the file.
                end = start + rows.end * stride;
                start += rows.start * stride;
                if scales.len() > 1 {
                    scales = scales.get(rows.clone()).unwrap_or_default().to_vec();
                }
            }
            *all = rows.len();
        }
        if let Some(wanted) = self.shape {
            let elements = |shape: &[usize]| shape.iter().map(|&dim| dim as u128).product::<u128>();
            if elements(&wanted) != elements(&shape) {
                return Err(format!("shape {wanted:?}"));
            }
            shape = wanted;
        }
        let mut derived = tensor.derived(self.name, shape, start, end);
        derived.scales = scales;
        derived.coding = coding;
        Ok(derived)
    }
}

impl Checkpoint {
    /// Renames the tensors: `map` gives the model's name for each stored tensor from its present name
    /// and shape. Messages show the file's own name after the model's.
    ///
    /// # Errors
    /// [`WeightsError::Derived`] where a piece does not fit its tensor, and
    /// [`WeightsError::SameName`] where two tensors become one.
    pub fn renamed(
        mut self,
        map: &dyn Fn(&str, &[usize]) -> Renamed,
    ) -> Result<Self, WeightsError> {
        let mut tensors: Vec<Tensor> = Vec::with_capacity(self.tensors.len());
        let mut by_name = HashMap::with_capacity(self.tensors.len());
        for tensor in std::mem::take(&mut self.tensors) {
            let pieces = match map(&tensor.name, &tensor.shape) {
                Renamed::Kept => vec![Piece::named(tensor.name.clone())],
                Renamed::Dropped => Vec::new(),
                Renamed::As(pieces) => pieces,
            };
            for piece in pieces {
                let name = piece.name.clone();
                let derived = piece
                    .of(&tensor)
                    .map_err(|expected| WeightsError::Derived {
                        part: self.part.clone(),
                        file: self.file_of(&tensor),
                        tensor: shown(&tensor.name),
                        found: tensor.shape.as_slice().into(),
                        name: shown(&name),
                        expected,
                    })?;
                if let Some(before) = by_name.insert(name.clone(), tensors.len()) {
                    let own = |tensor: &Tensor| {
                        shown(tensor.file_name.as_deref().unwrap_or(&tensor.name))
                    };
                    return Err(WeightsError::SameName {
                        part: self.part.clone(),
                        file: self.file_of(&tensor),
                        first: tensors.get(before).map(own).unwrap_or_default(),
                        second: own(&derived),
                        name: shown(&name),
                    });
                }
                tensors.push(derived);
            }
        }
        self.tensors = tensors;
        self.by_name = by_name;
        Ok(self)
    }
}
