//! The model and the device of a run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kinora::gpu::{Gpu, GpuOptions};
use kinora::model_files::{ModelFolder, short_name};
use kinora::pipeline::{DecoderName, Model};
use kinora::weights::Extent;
use kinora::{Decoder, Engine};
use kinora_hub::{Hub, Repo};

use crate::args::{DecoderArgs, DeviceArgs, MemoryArgs, ModelArgs, QuantizeArgs};
use crate::environment;
use crate::error::CliError;
use crate::progress::Progress;
use crate::starter;

/// The named model with the parts named beside it, or the starter; reads weights up to `extent`.
pub(crate) fn folder_to(args: &ModelArgs, extent: Extent) -> Result<ModelFolder, CliError> {
    let parts = args.parts();
    let folder = match &args.model {
        Some(named) => match pulled(named)? {
            Some((repo, path)) => ModelFolder::open_to(path, extent)?.called(&repo.to_string()),
            None => ModelFolder::open_to(named, extent)?,
        },
        None if parts.is_empty() => starter::folder(),
        None => ModelFolder::of_parts_to(&parts, extent)?,
    };
    let folder = match args.model.is_none() && !parts.is_empty() {
        true => folder,
        false => folder.with_parts(&parts)?,
    };
    Ok(folder.with_loras(args.lora.clone())?)
}

/// The model, its matrices in the type asked for.
pub(crate) fn quantized(folder: ModelFolder, args: &QuantizeArgs) -> ModelFolder {
    match args.quantize {
        Some(dtype) => folder.quantized(dtype),
        None => folder,
    }
}

/// The name under which the hub client knows a model: people also type others for the released ones.
/// An address OWNER/NAME is meant as it stands.
pub(crate) fn repo_named(name: &str) -> &str {
    if name.contains(['/', '@']) {
        return name;
    }
    short_name(name).unwrap_or(name)
}

/// The model of the hub that is meant, and its folder in the cache; nothing where a folder is meant.
fn pulled(named: &Path) -> Result<Option<(Repo, PathBuf)>, CliError> {
    let repo: Option<Repo> = named
        .to_str()
        .and_then(|name| repo_named(name).parse().ok());
    match repo {
        Some(repo) if !named.exists() => {
            let path = Hub::from_env()?.find(&repo)?;
            Ok(Some((repo, path)))
        }
        _ => Ok(None),
    }
}

/// The model's folder for latents of this many channels. Decoders that are not the model's own need
/// only its sizes, which follow from the channels.
pub(crate) fn folder_for(
    args: &ModelArgs,
    decoder: &DecoderArgs,
    channels: usize,
) -> Result<ModelFolder, CliError> {
    let own = matches!(decoder.decoder, None | Some(DecoderName::Full));
    let released = match channels {
        16 => "wan2.1-1.3b",
        48 => "wan2.2-5b",
        _ => return folder_to(args, Extent::Whole),
    };
    let named = args.model.is_some() || !args.parts().is_empty();
    match named || own && decoder.tiny_decoder.is_none() {
        true => folder_to(args, Extent::Whole),
        false => Ok(ModelFolder::like(released)?),
    }
}

/// What makes pictures of latents.
pub(crate) fn decoder(
    args: &DecoderArgs,
    typed: &ModelArgs,
    model: &Model,
) -> Result<Decoder, CliError> {
    let tiny = |file| Decoder::Tiny {
        file,
        latents: args.tiny_decoder_latents,
    };
    match (args.decoder, &args.tiny_decoder) {
        (None, None) | (Some(DecoderName::Full), None) => Ok(Decoder::Full),
        (Some(DecoderName::Linear), None) => Ok(Decoder::Linear),
        (None | Some(DecoderName::Tiny), Some(file)) => Ok(tiny(file.clone())),
        (Some(DecoderName::Tiny), None) => {
            let pulled = typed.model.as_deref().map(pulled).transpose()?.flatten();
            let pulled = pulled.map(|(_, path)| path);
            let folder = pulled.as_deref().or(typed.model.as_deref());
            let found = Decoder::tiny_file_in(folder, model.config().vae.z_dim);
            found
                .map(tiny)
                .map_err(|name| CliError::NoTinyDecoder { name })
        }
        (Some(DecoderName::Full | DecoderName::Linear), Some(_)) => Err(CliError::OtherDecoder),
    }
}

/// An engine on the device asked for; says which.
pub(crate) fn open(
    args: &DeviceArgs,
    memory: &MemoryArgs,
    model: Arc<Model>,
    progress: &Progress,
) -> Result<Engine, CliError> {
    let options = GpuOptions {
        device: args.device.clone(),
        precision: args.precision,
        ..environment::gpu_options()?
    };
    let gpu = Gpu::open(&options)?;
    let caps = gpu.caps();
    progress.say(format_args!(
        "device: {}, {}, {}",
        caps.name, caps.driver, caps.backend
    ));
    let engine = Engine::with_model(gpu, model);
    Ok(match memory.memory {
        Some(bytes) => engine.with_memory(bytes),
        None => engine,
    })
}
