//! Latents on disk, which a run saves before decoding and `decode` starts from.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Checkpoint, Storage, tensor_file};
use crate::error::WeightsError;

/// The tensor's name in the file.
const TENSOR: &str = "latents";

/// Latents in the model's normalised space, exactly what diffusers returns for
/// `output_type="latent"`.
#[derive(Clone, Debug, PartialEq)]
pub struct Latents {
    /// [1, C, T, h, w].
    pub shape: [usize; 5],
    /// The values, row-major.
    pub values: Vec<f32>,
    /// Metadata of the run that made the latents.
    pub metadata: BTreeMap<String, String>,
}

impl Latents {
    /// Reads the tensor `latents` of the safetensors file at `path`.
    ///
    /// # Errors
    /// [`WeightsError::Missing`], [`WeightsError::Read`], and those of
    /// [`from_bytes`](Self::from_bytes).
    pub fn read(path: impl AsRef<Path>) -> Result<Self, WeightsError> {
        let path = path.as_ref();
        let file = path.display().to_string();
        if !path.exists() {
            return Err(WeightsError::Missing {
                part: TENSOR.to_owned(),
                path: path.to_owned(),
            });
        }
        Self::from_bytes(&file, Storage::map(path)?)
    }

    /// Reads a file of latents from memory; `file` names it in messages.
    ///
    /// # Errors
    /// Those of opening a safetensors file, [`WeightsError::NoLatents`],
    /// [`WeightsError::LatentsShape`] for anything but [1, C, T, h, w], and
    /// [`WeightsError::NotFinite`] where a value is NaN or infinite.
    pub fn from_bytes(file: &str, bytes: impl Into<Storage>) -> Result<Self, WeightsError> {
        let checkpoint = Checkpoint::from_bytes(file, bytes, TENSOR)?;
        if !checkpoint.contains(TENSOR) {
            let found: Vec<&str> = checkpoint.names().take(4).collect();
            return Err(WeightsError::NoLatents {
                file: file.to_owned(),
                found: match found.as_slice() {
                    [] => "nothing".to_owned(),
                    names => names.join(", "),
                },
            });
        }
        let view = checkpoint.get_any(TENSOR)?;
        let shape = match *view.shape {
            [1, c, t, h, w] if c * t * h * w > 0 => [1, c, t, h, w],
            _ => {
                return Err(WeightsError::LatentsShape {
                    file: file.to_owned(),
                    found: view.shape.to_vec(),
                });
            }
        };
        let values = view.to_f32();
        let count = values.iter().filter(|value| !value.is_finite()).count();
        if count > 0 {
            return Err(WeightsError::NotFinite {
                file: file.to_owned(),
                count,
                total: values.len(),
            });
        }
        Ok(Self {
            shape,
            values,
            metadata: checkpoint.metadata(),
        })
    }

    /// Writes the latents as one F32 tensor `latents` with the metadata beside it, to a temporary
    /// name in the same folder that is then renamed: `path` never holds half a file. An existing
    /// file is replaced.
    ///
    /// # Errors
    /// [`WeightsError::LatentsCount`] where shape and values do not match, and
    /// [`WeightsError::Write`].
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), WeightsError> {
        let tensor = (TENSOR, &self.shape[..], self.values.as_slice());
        tensor_file::write(path.as_ref(), &[tensor], &self.metadata)
    }
}
