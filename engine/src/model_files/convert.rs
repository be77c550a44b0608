//! A model written in other element types: `kinora convert`.

use std::fs;
use std::path::{Path, PathBuf};

use super::ModelFolder;
use super::matrices::is_block_matrix;
use super::names::original_of_transformer;
use crate::error::{AdapterError, Error, WeightsError};
use crate::staged::{folder_for, folder_of};
use crate::tensor::DType;
use crate::weights::Written;

/// About the size of a shard, as the hub's tools choose it.
const SHARD: u64 = 5_000_000_000;

/// Progress of a conversion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Converted {
    /// The part that is being written.
    pub part: &'static str,
    /// Bytes written of all parts.
    pub done: u64,
    /// Bytes that there will be.
    pub total: u64,
}

/// Writes the model as the folder `out` in the diffusers layout, with elements of `dtype`.
///
/// The matrices in the blocks of the transformers and the text encoder become `dtype`. For `F32`, `F16`
/// and `BF16`, so does every other tensor with two or more dimensions. All other tensors, and the
/// autoencoder, keep their types.
///
/// Floating-point types are written as safetensors in shards of about 5 GB, 8-bit floats with scales
/// as ComfyUI has them. Block types are written as one GGUF file per part: the transformer under the
/// names of Wan's own release, which ComfyUI expects, the text encoder under diffusers'.
///
/// The folder appears once it is complete. Until then its files lie in a temporary folder beside it,
/// which is removed after a failure or, after a kill, by the next conversion to the same place.
/// `each` receives the progress and returns whether to continue.
///
/// # Errors
/// [`WeightsError::Exists`] for a folder that is there, weights that cannot be read, a disk that is
/// full, [`Error::Cancelled`] where `each` said to stop, [`AdapterError::NotConverted`] for a
/// model with LoRAs.
pub fn convert(
    folder: &ModelFolder,
    dtype: DType,
    out: &Path,
    each: &mut dyn FnMut(Converted) -> bool,
) -> Result<(), Error> {
    if let Some(lora) = folder.loras().first() {
        let file = lora.file.display().to_string();
        return Err(WeightsError::from(AdapterError::NotConverted { file }).into());
    }
    if out.symlink_metadata().is_ok() {
        return Err(WeightsError::Exists { path: out.into() }.into());
    }
    let failed = |source| WeightsError::Write {
        path: out.into(),
        source,
    };
    let mut parts = Vec::new();
    let mut total = 0;
    for part in folder.parts() {
        let checkpoint = folder.checkpoint(part)?;
        let target = move |name: &str, shape: &[usize], own| target(part, dtype, name, shape, own);
        total += checkpoint.bytes_as(&target)?;
        parts.push((part, checkpoint, target));
    }
    let staging = folder_for(out).map_err(failed)?;
    // Write to a folder inside, since temporary folders are private to their owner.
    let inside: PathBuf = staging.path().join("model");
    for (path, bytes) in folder.descriptions()? {
        let path = inside.join(path);
        fs::create_dir_all(folder_of(&path)).map_err(failed)?;
        fs::write(path, bytes).map_err(failed)?;
    }
    let mut done = 0;
    for (part, checkpoint, target) in &parts {
        let stem = match *part {
            "text_encoder" => "model",
            _ => "diffusion_pytorch_model",
        };
        let written = match (*part, dtype.block()) {
            ("vae", _) | (_, 1) => Written::Safetensors { shard: SHARD },
            ("text_encoder", _) => Written::Gguf {
                architecture: "t5encoder",
                named: str::to_owned,
            },
            _ => Written::Gguf {
                architecture: "wan",
                named: original_of_transformer,
            },
        };
        let at = inside.join(part);
        fs::create_dir_all(&at).map_err(failed)?;
        let mut stopped = false;
        let mut step = |bytes| {
            done += bytes;
            stopped = !each(Converted { part, done, total });
            !stopped
        };
        let result = checkpoint.write_as((&at, stem), written, target, &mut step);
        if stopped {
            return Err(Error::Cancelled);
        }
        result?;
    }
    fs::rename(&inside, out).map_err(failed)?;
    Ok(())
}

/// The element type that a tensor is converted to.
fn target(part: &str, dtype: DType, name: &str, shape: &[usize], own: DType) -> DType {
    if part == "vae" {
        // safetensors has no blocks, and no integers with scales.
        let kept = own.format().safetensors;
        return if kept { own } else { DType::F32 };
    }
    let wide = matches!(dtype, DType::F32 | DType::F16 | DType::BF16);
    let matrix = shape.len() > 1 && name.ends_with(".weight");
    match own {
        _ if is_block_matrix(name, shape) || wide && matrix => dtype,
        // GGUF has no 8-bit floats; the replacement holds their values with scales applied.
        DType::F8E4M3 | DType::F8E5M2 if dtype.block() > 1 => DType::BF16,
        own if dtype.block() > 1 && own.format().gguf.is_none() => DType::F32,
        own if dtype.block() == 1 && !own.format().safetensors => DType::F32,
        own => own,
    }
}
