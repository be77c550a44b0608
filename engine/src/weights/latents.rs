//! Latents on disk: what a run saves before it decodes, and what `decode` begins from.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::{Checkpoint, Storage};
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
    /// Text beside the tensor: what made it.
    pub metadata: BTreeMap<String, String>,
}

impl Latents {
    /// Reads the F32, F16 or BF16 tensor `latents` of the safetensors file at `path`.
    ///
    /// # Errors
    /// Those of opening a safetensors file, [`WeightsError::NoLatents`],
    /// [`WeightsError::LatentsShape`] for anything but [1, C, T, h, w], and
    /// [`WeightsError::NotFinite`] where a value is NaN or infinite.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, WeightsError> {
        let path = path.as_ref();
        let file = path.display().to_string();
        if !path.exists() {
            return Err(WeightsError::Missing {
                part: TENSOR.to_owned(),
                path: path.to_owned(),
            });
        }
        let checkpoint = Checkpoint::from_bytes(&file, Storage::map(path)?, TENSOR)?;
        if !checkpoint.contains(TENSOR) {
            let found: Vec<&str> = checkpoint.names().take(4).collect();
            return Err(WeightsError::NoLatents {
                file,
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
                    file,
                    found: view.shape.to_vec(),
                });
            }
        };
        let values = view.to_f32();
        let count = values.iter().filter(|value| !value.is_finite()).count();
        if count > 0 {
            return Err(WeightsError::NotFinite {
                file,
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
        let path = path.as_ref();
        if self.shape.iter().product::<usize>() != self.values.len() {
            return Err(WeightsError::LatentsCount {
                file: path.display().to_string(),
                shape: self.shape.to_vec(),
                count: self.values.len(),
            });
        }
        self.write_file(path).map_err(|source| WeightsError::Write {
            path: path.to_owned(),
            source,
        })
    }

    fn write_file(&self, path: &Path) -> io::Result<()> {
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mut temporary = tempfile::Builder::new();
        temporary.prefix(".kinora-").suffix(".safetensors.part");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // A temporary file is private by default; this one becomes the user's, under the umask.
            temporary.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let mut temporary = temporary.tempfile_in(folder)?;
        let header = self.header()?;
        let mut out = BufWriter::new(temporary.as_file_mut());
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        for value in &self.values {
            out.write_all(&value.to_le_bytes())?;
        }
        out.flush()?;
        drop(out);
        // Before the rename, or a power cut could leave the name without the data.
        temporary.as_file().sync_all()?;
        temporary.persist(path)?;
        Ok(())
    }

    /// The header's JSON, padded with spaces so that the data begin at a multiple of 8.
    fn header(&self) -> io::Result<Vec<u8>> {
        // Written by hand rather than through the safetensors crate, whose metadata is a hash map
        // and comes out in another order each time: the same run must give the same bytes.
        let tensor = serde_json::json!({
            "dtype": "F32",
            "shape": self.shape,
            "data_offsets": [0, self.values.len() * size_of::<f32>()],
        });
        let mut header = serde_json::Map::new();
        if !self.metadata.is_empty() {
            header.insert(
                "__metadata__".to_owned(),
                serde_json::to_value(&self.metadata)?,
            );
        }
        header.insert(TENSOR.to_owned(), tensor);
        let mut json = serde_json::to_vec(&header)?;
        json.resize(json.len().next_multiple_of(8), b' ');
        Ok(json)
    }
}
