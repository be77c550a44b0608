//! `kinora info`: devices, the kernels chosen for them, and what a model is made of.

use std::fmt::Write;
use std::path::PathBuf;

use kinora::error::GpuError;
use kinora::gpu::{chosen_device, devices};
use kinora::model_files::lora::LoraInfo;
use kinora::weights::Extent;
use kinora_hub::{Hub, SHORT_NAMES};

use crate::args::InfoArgs;
use crate::environment;
use crate::error::CliError;
use crate::model::folder_to;
use crate::output;

/// Prints what there is.
pub(crate) fn run(args: &InfoArgs) -> Result<(), CliError> {
    // A model's own mistakes are quicker to find than devices.
    let folder = folder_to(&args.model, Extent::Headers)?;
    let (mut model, incomplete) = folder.describe()?;
    for lora in &args.model.lora {
        // Writing to a string cannot fail.
        let _ = writeln!(model, "{}", LoraInfo::read(&lora.file, Some(&folder))?);
    }
    let all = devices(&environment::gpu_options()?);
    let chosen = chosen_device(&all, args.device.device.as_deref())?;
    let mut text = String::new();
    for device in &all {
        text.push_str(&device.describe(chosen == Some(device.index)));
        if device.caps.backend == "dx12" && !dxc_at_hand() {
            text.push_str("  compiler           FXC, which is slow: dxcompiler.dll (DXC) is not beside the program or on PATH\n");
        }
    }
    if let Some(device) = chosen.and_then(|index| all.iter().find(|device| device.index == index)) {
        text.push_str(&kinora::ops::describe(&device.caps));
    }
    text.push_str(&model);
    if args.model.model.is_none() && args.model.parts().is_empty() {
        list_pulled(&mut text);
    }
    output::print(text.as_bytes())?;
    match incomplete {
        Some(error) => Err(error.into()),
        None if all.is_empty() => Err(GpuError::NoDevice.into()),
        None => Ok(()),
    }
}

/// The models that `--model` may name.
fn list_pulled(text: &mut String) {
    let Ok(hub) = Hub::from_env() else {
        return;
    };
    let pulled = hub.pulled();
    if pulled.is_empty() {
        return;
    }
    let _ = writeln!(text, "models of the hub in {}", hub.cache().display());
    for (repo, _) in pulled {
        let short = SHORT_NAMES.iter().find(|(_, name)| *name == repo.name());
        let short = short.map_or(String::new(), |(short, _)| format!("  ({short})"));
        let _ = writeln!(text, "  {repo}{short}");
    }
}

/// Whether DX12 compiles kernels with DXC; wgpu falls back to FXC without its library.
fn dxc_at_hand() -> bool {
    let beside = std::env::current_exe()
        .ok()
        .and_then(|program| Some(program.parent()?.to_owned()));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = beside
        .into_iter()
        .chain(std::env::split_paths(&path))
        .collect();
    folders
        .iter()
        .any(|folder| folder.join("dxcompiler.dll").is_file())
}
