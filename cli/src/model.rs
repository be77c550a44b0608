//! The model and the device of a run.

use std::path::{Path, PathBuf};

use kinora::gpu::{Gpu, GpuOptions};
use kinora::hub::{Hub, Repo};
use kinora::models::config::ModelFolder;
use kinora::record::Precision;
use kinora::text_to_video::Engine;

use crate::args::{DeviceArgs, MemoryArgs, ModelArgs, PrecisionChoice};
use crate::error::CliError;
use crate::progress::Progress;
use crate::starter;

/// The model that is named, with the parts that are named beside it; or the starter.
pub(crate) fn folder(args: &ModelArgs) -> Result<ModelFolder, CliError> {
    let parts = args.parts();
    let folder: Result<ModelFolder, CliError> = match &args.model {
        Some(named) => match pulled(named)? {
            Some((repo, path)) => Ok(ModelFolder::open(path)?.called(&repo.to_string())),
            None => Ok(ModelFolder::open(named)?),
        },
        None if parts.is_empty() => Ok(starter::folder()),
        None => return Ok(ModelFolder::of_parts(&parts)?),
    };
    Ok(folder?.with_parts(&parts)?)
}

/// The model of the hub that is meant, and its folder in the cache; nothing where a folder is meant.
fn pulled(named: &Path) -> Result<Option<(Repo, PathBuf)>, CliError> {
    let repo: Option<Repo> = named.to_str().and_then(|name| name.parse().ok());
    match repo {
        Some(repo) if !named.exists() => {
            let path = Hub::from_env()?.find(&repo)?;
            Ok(Some((repo, path)))
        }
        _ => Ok(None),
    }
}

/// Reads the heads of the weights' files, which needs no device and little time.
pub(crate) fn check_weights(folder: &ModelFolder) -> Result<(), CliError> {
    for part in folder.parts() {
        folder.checkpoint(part)?;
    }
    Ok(())
}

/// An engine on the device asked for; says which.
pub(crate) fn open(
    args: &DeviceArgs,
    memory: &MemoryArgs,
    folder: ModelFolder,
    progress: &Progress,
) -> Result<Engine, CliError> {
    let options = GpuOptions {
        device: args.device.clone(),
        precision: precision(args),
        ..GpuOptions::default()
    };
    let gpu = Gpu::open(&options)?;
    let caps = gpu.caps();
    progress.say(format_args!(
        "device: {}, {}, {}",
        caps.name, caps.driver, caps.backend
    ));
    let engine = Engine::new(gpu, folder)?;
    Ok(match memory.memory {
        Some(bytes) => engine.with_memory(bytes),
        None => engine,
    })
}

/// What operands may be rounded to.
pub(crate) fn precision(args: &DeviceArgs) -> Precision {
    match args.precision {
        PrecisionChoice::F16 => Precision::F16,
        PrecisionChoice::F32 => Precision::F32,
    }
}
