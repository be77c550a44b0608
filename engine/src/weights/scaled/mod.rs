//! Matrices stored in several tensors: 8-bit ones with scales, and NVFP4.
//!
//! | beside `X.weight` | of type | it is |
//! |---|---|---|
//! | `X.scale_weight` or `X.weight_scale`, one number or one a row | F8_E4M3, F8_E5M2, I8 | the factor of the elements (ComfyUI's `*_scaled`, `int8_tensorwise`) |
//! | `X.weight_scale` and `X.weight_scale_2` | U8 | NVFP4 |
//! | `X.comfy_quant` | any of these | ComfyUI's mark, JSON that names the format; `_quantization_metadata` of the header holds the same by layer |
//! | `X.weight._data` and `X.weight._scale`, in its place | I8, F8 | optimum-quanto's `qint8`, `qfloat8` |
//!
//! Other tensors in such files describe how to round activations (`X.input_scale`), which Kinora does
//! not do, or mark the file (`scaled_fp8`). `foreign.rs` refuses other formats by their names.

mod coding;
mod foreign;
mod mark;

use std::collections::{HashMap, HashSet};

use super::Checkpoint;
use super::container::shown;
use super::named::Tensor;
use crate::error::WeightsError;
use crate::tensor::DType;
pub(super) use coding::{Coding, Nvfp4};
use mark::{Mark, Marks};

/// Names of the scales of `X.weight`, after `X.`.
const SCALES: [&str; 2] = ["scale_weight", "weight_scale"];

/// Names of tensors of the layer that Kinora does not use.
const UNUSED: [&str; 4] = ["scale_input", "input_scale", "output_scale", "comfy_quant"];

/// Empty tensors that mark the kind of file.
const MARKS: [&str; 2] = ["scaled_fp8", "scaled_int8"];

/// The ending of a matrix's elements in optimum-quanto's files, after the matrix's name.
const QUANTO: &str = "._data";

/// The result of joining a stored tensor with its scales.
struct Quantised {
    name: Option<String>,
    dtype: DType,
    shape: Vec<usize>,
    scales: Vec<f32>,
    coding: Coding,
}

impl Quantised {
    /// The elements as they are, times `scales`.
    fn plain(tensor: &Tensor, dtype: DType, scales: Vec<f32>) -> Self {
        Self {
            name: None,
            dtype,
            shape: tensor.shape.clone(),
            scales,
            coding: Coding::Plain,
        }
    }
}

impl Checkpoint {
    /// Joins each matrix with its scales.
    ///
    /// # Errors
    /// [`WeightsError::Scales`] for scales that are neither one number nor one a row,
    /// [`WeightsError::Quantised`] for formats that are not read.
    pub(super) fn with_scales(mut self) -> Result<Self, WeightsError> {
        self.refuse_foreign()?;
        let marks = Marks::of(&self)?;
        let mut used = HashSet::new();
        let mut found = Vec::new();
        for (at, tensor) in self.tensors.iter().enumerate() {
            if let Some(quantised) = self.quantised(tensor, &marks, &mut used)? {
                found.push((at, quantised));
            }
        }
        let is_mark = |name: &str| MARKS.contains(&name.rsplit('.').next().unwrap_or_default());
        let names = self.tensors.iter().enumerate();
        let marks = names.filter(|(_, tensor)| is_mark(&tensor.name));
        used.extend(marks.map(|(at, _)| at));
        if used.is_empty() && found.is_empty() {
            return Ok(self);
        }
        for (at, quantised) in found {
            if let Some(tensor) = self.tensors.get_mut(at) {
                if let Some(name) = quantised.name {
                    tensor.file_name = Some(std::mem::replace(&mut tensor.name, name));
                }
                if quantised.dtype != DType::NVFP4 && quantised.coding != Coding::Plain {
                    tensor.stored.name = format!("{} (rotated)", quantised.dtype).into();
                } else if tensor.stored.dtype.is_none() {
                    tensor.stored.name = quantised.dtype.name().into();
                }
                tensor.stored.dtype = Some(quantised.dtype);
                tensor.shape = quantised.shape;
                tensor.scales = quantised.scales;
                tensor.coding = quantised.coding;
            }
        }
        let mut at = 0;
        self.tensors.retain(|_| {
            at += 1;
            !used.contains(&(at - 1))
        });
        let mut by_name = HashMap::with_capacity(self.tensors.len());
        for (at, tensor) in self.tensors.iter().enumerate() {
            if let Some(before) = by_name.insert(tensor.name.clone(), at) {
                let own = |at: usize| self.tensors.get(at).map(Tensor::shown).unwrap_or_default();
                return Err(WeightsError::SameName {
                    part: self.part.clone(),
                    file: self.file_of(tensor),
                    first: own(before),
                    second: own(at),
                    name: shown(&tensor.name),
                });
            }
        }
        self.by_name = by_name;
        Ok(self)
    }

    /// Joins `tensor` with its scales, which are added to `used`; `None` for a plain tensor.
    fn quantised(
        &self,
        tensor: &Tensor,
        marks: &Marks,
        used: &mut HashSet<usize>,
    ) -> Result<Option<Quantised>, WeightsError> {
        if let Some(name) = tensor.name.strip_suffix(QUANTO) {
            return self.of_quanto(tensor, name, used).map(Some);
        }
        let Some(layer) = tensor.name.strip_suffix("weight") else {
            return Ok(None);
        };
        let beside = |last: &str| self.by_name.get(&format!("{layer}{last}")).copied();
        let stored = &*tensor.stored.name;
        let floats = tensor
            .stored
            .dtype
            .filter(|dtype| dtype.format().scaled.is_some());
        let mark = match (floats, stored) {
            // Headers alone lack the mark's data; 8-bit floats can be read without it.
            (Some(_), _) => match marks.beside(self, layer) {
                Err(WeightsError::NoData { .. }) => Mark::default(),
                mark => mark?,
            },
            (None, "I8" | "U8") => marks.beside(self, layer)?,
            _ => return Ok(None),
        };
        let scales = SCALES.into_iter().find_map(beside);
        let quantised = match (floats, stored, &mark) {
            (
                _,
                "U8",
                Mark {
                    format: Some(format),
                    ..
                },
            ) if format == "nvfp4" => Some(self.nvfp4(tensor, layer, used)?),
            (None, "U8", Mark { format: None, .. }) if beside("weight_scale_2").is_some() => {
                let found =
                    "NVFP4 without ComfyUI's mark, so that the order of its scales cannot be told";
                return Err(self.not_read(tensor, found));
            }
            (None, "U8", Mark { format: None, .. }) => None,
            (Some(dtype), ..) => {
                let named = matches!(
                    (dtype, mark.format.as_deref()),
                    (_, None)
                        | (DType::F8E4M3, Some("float8_e4m3fn"))
                        | (DType::F8E5M2, Some("float8_e5m2"))
                );
                self.check_mark(tensor, &mark, named && mark.rotated.is_none())?;
                let powers = |at| matches!(self.stored_name(at), Some("U8" | "F8_E8M0"));
                if scales.is_some_and(powers) {
                    return Err(self.not_read(tensor, "MXFP8"));
                }
                let scales = match scales {
                    Some(at) => self.scales_of(at, tensor)?,
                    None => Vec::new(),
                };
                Some(Quantised::plain(tensor, dtype, scales))
            }
            (None, "I8", _) => {
                let named = matches!(mark.format.as_deref(), None | Some("int8_tensorwise"));
                self.check_mark(tensor, &mark, named)?;
                match scales {
                    None => None,
                    Some(at) => {
                        let coding = self.rotation(tensor, &mark)?;
                        let scales = self.scales_of(at, tensor)?;
                        Some(Quantised {
                            coding,
                            ..Quantised::plain(tensor, DType::I8, scales)
                        })
                    }
                }
            }
            _ => {
                self.check_mark(tensor, &mark, false)?;
                None
            }
        };
        if quantised.is_some() {
            used.extend(UNUSED.into_iter().filter_map(beside));
            used.extend(SCALES.into_iter().filter_map(beside));
        }
        Ok(quantised)
    }

    /// A matrix as optimum-quanto stores it: `NAME._data` and `NAME._scale`.
    fn of_quanto(
        &self,
        tensor: &Tensor,
        name: &str,
        used: &mut HashSet<usize>,
    ) -> Result<Quantised, WeightsError> {
        let beside = |name: String| self.by_name.get(&name).copied();
        let dtype = match (tensor.stored.dtype, &*tensor.stored.name) {
            (Some(dtype), _) if dtype.format().scaled.is_some() => dtype,
            (None, "I8") => DType::I8,
            (_, other) => {
                let found = format!("optimum-quanto's, packed in {other} (qint4 or qint2)");
                return Err(self.not_read(tensor, &found));
            }
        };
        let Some(scale) = beside(format!("{name}._scale")) else {
            let found = format!(
                "optimum-quanto's without {}",
                shown(&format!("{name}._scale"))
            );
            return Err(self.not_read(tensor, &found));
        };
        used.insert(scale);
        let layer = name.strip_suffix("weight").unwrap_or(name);
        used.extend(
            UNUSED
                .into_iter()
                .filter_map(|last| beside(format!("{layer}{last}"))),
        );
        let scales = self.scales_of(scale, tensor)?;
        Ok(Quantised {
            name: Some(name.to_owned()),
            ..Quantised::plain(tensor, dtype, scales)
        })
    }

    /// A matrix in NVFP4, as ComfyUI's mark declares.
    fn nvfp4(
        &self,
        tensor: &Tensor,
        layer: &str,
        used: &mut HashSet<usize>,
    ) -> Result<Quantised, WeightsError> {
        let beside = |last: &str| self.by_name.get(&format!("{layer}{last}")).copied();
        let refused = |found: String| self.not_read(tensor, &found);
        let [rows, half] = *tensor.shape.as_slice() else {
            return Err(refused(format!(
                "NVFP4 of shape {:?}, no matrix",
                tensor.shape
            )));
        };
        let columns = half.saturating_mul(2);
        let block = DType::NVFP4.block();
        if columns == 0 || !columns.is_multiple_of(block) {
            return Err(refused(format!(
                "NVFP4 with rows of {columns}, no multiple of {block}"
            )));
        }
        let (Some(groups), Some(scale)) = (beside("weight_scale"), beside("weight_scale_2")) else {
            let found = "NVFP4 without weight_scale and weight_scale_2 beside it";
            return Err(refused(found.to_owned()));
        };
        let Some(of_groups) = self.tensors.get(groups) else {
            return Err(refused("NVFP4 without scales".to_owned()));
        };
        let coding = Nvfp4::new(of_groups, [rows, columns]).map_err(refused)?;
        used.extend([groups, scale]);
        let scales = self.scales_of(scale, tensor)?;
        if scales.len() > 1 {
            return Err(refused(
                "NVFP4 with more than one weight_scale_2".to_owned(),
            ));
        }
        Ok(Quantised {
            name: None,
            dtype: DType::NVFP4,
            shape: vec![rows, columns],
            scales,
            coding: Coding::Nvfp4(coding),
        })
    }

    /// The rotation of an int8 matrix, if its mark has one.
    fn rotation(&self, tensor: &Tensor, mark: &Mark) -> Result<Coding, WeightsError> {
        let Some(group) = mark.rotated else {
            return Ok(Coding::Plain);
        };
        let columns = match *tensor.shape.as_slice() {
            [_, columns] => columns,
            _ => 0,
        };
        Coding::rotated(group, columns).ok_or_else(|| {
            let found = format!(
                "int8 rotated in groups of {group}, which is no power of 4 up to 65536 that divides rows of {columns}"
            );
            self.not_read(tensor, &found)
        })
    }

    /// Refuses a tensor whose mark contradicts what is `known` of its type.
    fn check_mark(&self, tensor: &Tensor, mark: &Mark, known: bool) -> Result<(), WeightsError> {
        if known {
            return Ok(());
        }
        let format = mark.format.as_deref().unwrap_or("rotated");
        let format = if format == "mxfp8" { "MXFP8" } else { format };
        let found = format!("{format} in {}, by ComfyUI's mark", tensor.stored.name);
        Err(self.not_read(tensor, &found))
    }

    fn stored_name(&self, at: usize) -> Option<&str> {
        Some(&self.tensors.get(at)?.stored.name)
    }

    fn not_read(&self, tensor: &Tensor, found: &str) -> WeightsError {
        WeightsError::Quantised {
            part: self.part.clone(),
            file: self.file_of(tensor),
            tensor: tensor.shown(),
            found: found.to_owned(),
        }
    }

    /// The numbers of tensor `at`, for each row of `of` or for all.
    fn scales_of(&self, at: usize, of: &Tensor) -> Result<Vec<f32>, WeightsError> {
        let Some(tensor) = self.tensors.get(at) else {
            return Ok(Vec::new());
        };
        let rows = of.shape.first().copied().unwrap_or(1);
        let count = tensor.elements();
        if count != 1 && count != rows as u64 {
            return Err(WeightsError::Scales {
                part: self.part.clone(),
                file: self.file_of(tensor),
                tensor: shown(&tensor.name),
                of: shown(&of.name),
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
