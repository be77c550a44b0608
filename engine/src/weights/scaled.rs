//! Scales beside matrices in 8-bit floats: ComfyUI's `*_scaled` files, and others like them.
//!
//! Beside `X.weight` in `F8_E4M3` lies `X.scale_weight` or, newer, `X.weight_scale`: one number for
//! all of the matrix or one for each of its rows, by which the elements are to be multiplied. What
//! else such files hold says how to round activations (`X.scale_input`, `X.input_scale`), which
//! Kinora does not do, and which format it is (`X.comfy_quant`, `scaled_fp8`).

use std::collections::{HashMap, HashSet};

use super::Checkpoint;
use super::container::shown;
use crate::error::WeightsError;
use crate::tensor::DType;

/// Where the scales of `X.weight` lie: beside X.
const SCALES: [&str; 2] = ["scale_weight", "weight_scale"];

/// What Kinora has no use for beside it.
const UNUSED: [&str; 3] = ["scale_input", "input_scale", "comfy_quant"];

/// An empty tensor that says what kind of file it is.
const MARK: &str = "scaled_fp8";

impl Checkpoint {
    /// The same files, each matrix in 8-bit floats with the scales beside it.
    ///
    /// # Errors
    /// [`WeightsError::Scales`] for scales that are neither one number nor one a row.
    pub(super) fn with_scales(mut self) -> Result<Self, WeightsError> {
        let mut used = HashSet::new();
        let mut found = Vec::new();
        for (at, tensor) in self.tensors.iter().enumerate() {
            let Some(layer) = tensor.name.strip_suffix("weight") else {
                continue;
            };
            if tensor.stored.dtype != Some(DType::F8E4M3) {
                continue;
            }
            let beside = |last: &str| {
                let name = format!("{layer}{last}");
                self.by_name.get(&name).copied()
            };
            used.extend(UNUSED.into_iter().filter_map(beside));
            for scales in SCALES.into_iter().filter_map(beside) {
                used.insert(scales);
                let rows = tensor.shape.first().copied().unwrap_or(1);
                found.push((at, self.scales(scales, &tensor.name, rows)?));
            }
        }
        let is_mark = |name: &str| name.rsplit('.').next() == Some(MARK);
        let marks = self.tensors.iter().enumerate();
        let marks = marks.filter(|(_, tensor)| is_mark(&tensor.name));
        used.extend(marks.map(|(at, _)| at));
        if used.is_empty() {
            return Ok(self);
        }
        for (at, scales) in found {
            if let Some(tensor) = self.tensors.get_mut(at) {
                tensor.scales = scales;
            }
        }
        let mut at = 0;
        self.tensors.retain(|_| {
            at += 1;
            !used.contains(&(at - 1))
        });
        let names = self.tensors.iter().enumerate();
        let names = names.map(|(at, tensor)| (tensor.name.clone(), at));
        self.by_name = names.collect::<HashMap<_, _>>();
        Ok(self)
    }

    /// The numbers of tensor `at`, for so many rows of the tensor `of`.
    fn scales(&self, at: usize, of: &str, rows: usize) -> Result<Vec<f32>, WeightsError> {
        let Some(tensor) = self.tensors.get(at) else {
            return Ok(Vec::new());
        };
        let count = tensor.elements();
        if count != 1 && count != rows as u64 {
            return Err(WeightsError::Scales {
                part: self.part.clone(),
                file: self.file_of(tensor),
                tensor: shown(&tensor.name),
                of: shown(of),
                found: tensor.shape.as_slice().into(),
                rows,
            });
        }
        match self.view(tensor) {
            // A file's head does not say which; not one for each of the rows that it claims.
            Err(WeightsError::NoData { .. }) => Ok(vec![f32::NAN]),
            view => Ok(view?.to_f32()),
        }
    }
}
