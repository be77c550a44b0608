//! `kinora info`: devices, the kernels chosen for them, and what a model is made of.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::PathBuf;

use kinora::error::{ConfigError, GpuError};
use kinora::gpu::{DeviceInfo, chosen_device, devices};
use kinora::model_files::names::Names;
use kinora::model_files::{Defaults, Layout, ModelFolder};
use kinora::record::{Caps, DeviceClass};
use kinora::weights::{Checkpoint, Extent};
use kinora_hub::{Hub, SHORT_NAMES};

use crate::args::InfoArgs;
use crate::environment;
use crate::error::CliError;
use crate::model::folder_to;
use crate::output;

/// Prints what there is.
pub(crate) fn run(args: &InfoArgs) -> Result<(), CliError> {
    // A model's own mistakes are quicker to find than devices.
    let (model, incomplete) = describe_model(&folder_to(&args.model, Extent::Head)?)?;
    let all = devices(&environment::gpu_options()?);
    let chosen = chosen_device(&all, args.device.device.as_deref())?;
    let mut text = String::new();
    for device in &all {
        describe_device(&mut text, device, chosen == Some(device.index));
    }
    if let Some(device) = chosen.and_then(|index| all.iter().find(|device| device.index == index)) {
        describe_kernels(&mut text, &device.caps);
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

// Writing to a string cannot fail, here and below.
fn describe_device(text: &mut String, device: &DeviceInfo, chosen: bool) {
    let Caps {
        name,
        driver,
        backend,
        ..
    } = &device.caps;
    let caps = &device.caps;
    let class = match caps.class {
        DeviceClass::Discrete => "discrete GPU",
        DeviceClass::Integrated => "integrated GPU",
        DeviceClass::Apple => "Apple GPU",
        DeviceClass::Software => "software",
        _ => "other",
    };
    let mark = if chosen { "  <- used" } else { "" };
    let _ = writeln!(text, "device {}: {name}{mark}", device.index);
    let mut row = |key: &str, value: String| {
        let _ = writeln!(text, "  {key:18} {value}");
    };
    row("driver", format!("{driver}, {backend}"));
    row("class", class.to_owned());
    row(
        "buffer",
        format!(
            "{}, of which a kernel sees {} at once",
            size(caps.max_buffer_bytes),
            size(caps.max_binding_bytes)
        ),
    );
    row(
        "storage buffers",
        format!("{} a kernel", caps.max_storage_buffers),
    );
    row(
        "workgroup",
        format!(
            "{} invocations, {} of memory",
            caps.max_invocations,
            size(caps.workgroup_memory.into())
        ),
    );
    row(
        "f16 arithmetic",
        if caps.f16 { "yes" } else { "no" }.to_owned(),
    );
    row(
        "subgroups",
        match caps.subgroups {
            None => "no".to_owned(),
            Some((least, most)) if least == most => least.to_string(),
            Some((least, most)) => format!("{least} to {most}"),
        },
    );
    row(
        "cooperative",
        match caps.cooperative.as_slice() {
            [] => "no".to_owned(),
            edges => edges
                .iter()
                .map(|edge| format!("{edge}x{edge}x{edge} f16"))
                .collect::<Vec<_>>()
                .join(", "),
        },
    );
    if let Some(reason) = &device.unusable {
        row("unusable", reason.clone());
    }
    if backend == "dx12" && !dxc_at_hand() {
        row(
            "compiler",
            "FXC, which is slow: dxcompiler.dll (DXC) is not beside the program or on PATH"
                .to_owned(),
        );
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

/// The kernels that the ops choose among on a device: their modules and numbers.
fn describe_kernels(text: &mut String, caps: &Caps) {
    let variants = kinora::ops::variants(caps);
    let _ = writeln!(
        text,
        "kernels chosen on {}: {} variants",
        caps.name,
        variants.len()
    );
    /// What each slot, tile constant or override is given.
    type Choices<'v> = BTreeMap<&'v str, BTreeSet<(usize, String)>>;
    let mut kernels: BTreeMap<&str, (usize, Choices<'_>)> = BTreeMap::new();
    for variant in &variants {
        let (count, choices) = kernels.entry(variant.kernel()).or_default();
        *count += 1;
        for (slot, module) in variant.slots() {
            choices
                .entry(slot.name())
                .or_default()
                .insert((0, (*module).to_owned()));
        }
        for (name, value) in variant.tile_constants().iter().chain(variant.overrides()) {
            choices
                .entry(name)
                .or_default()
                .insert((*value as usize, value.to_string()));
        }
    }
    for (kernel, (count, choices)) in kernels {
        let choices: Vec<String> = choices
            .into_iter()
            .map(|(name, values)| {
                let values: Vec<String> = values.into_iter().map(|(_, text)| text).collect();
                format!("{name}={}", values.join("|"))
            })
            .collect();
        let _ = writeln!(text, "  {kernel:18} {count:4}  {}", choices.join(" "));
    }
}

/// What a model is made of, and what keeps it from running, where single files lack a part.
fn describe_model(folder: &ModelFolder) -> Result<(String, Option<ConfigError>), CliError> {
    let config = match folder.config() {
        Err(error) if folder.layout() == Layout::Diffusers => return Err(error.into()),
        other => other,
    };
    let mut text = String::new();
    let known = config
        .as_ref()
        .ok()
        .map(|config| config.defaults.name.as_str());
    let known = known.unwrap_or("not complete");
    let _ = writeln!(text, "model {}: {known}", folder.name());
    let _ = writeln!(text, "  {:18} {}", "layout", folder.layout());
    let mut total = 0;
    let mut incomplete = None;
    for part in folder.parts() {
        let (names, checkpoint) = folder.open_part(part)?;
        total += checkpoint.parameters();
        describe_part(&mut text, part, names.as_ref(), &checkpoint);
        if let Err(error) = checkpoint.check_data() {
            let _ = writeln!(text, "  {:18} not whole: the data is missing", "");
            incomplete = incomplete.or(Some(error.into()));
        }
    }
    let _ = writeln!(text, "  {:18} {} parameters", "all", count(total));
    let tokenizer = match folder.tokenizer_json() {
        Ok((file, _)) => file,
        Err(error) => format!("missing: {error}"),
    };
    let _ = writeln!(text, "  {:18} {tokenizer}", "tokenizer");
    let config = match config {
        Ok(config) => config,
        Err(error) => return Ok((text, Some(error))),
    };
    let [tall, wide] = config.pixels_per_token();
    let _ = writeln!(
        text,
        "  {:18} multiples of {wide}x{tall} pixels, {}n + 1 frames",
        "makes", config.vae.scale_factor_temporal
    );
    let _ = writeln!(
        text,
        "  {:18} {}",
        "defaults",
        defaults(&config.defaults, &config.pipeline.scheduler)
    );
    if !config.defaults.negative_prompt.is_empty() {
        let _ = writeln!(
            text,
            "  {:18} {}",
            "negative prompt", config.defaults.negative_prompt
        );
    }
    Ok((text, incomplete))
}

/// A part's size and element types, and where it is.
fn describe_part(text: &mut String, part: &str, names: Option<&Names>, checkpoint: &Checkpoint) {
    let dtypes = checkpoint.dtypes().into_iter();
    let dtypes: Vec<String> = dtypes
        .map(|(dtype, (count, _))| format!("{count} {dtype}"))
        .collect();
    let files = match checkpoint.files().len() {
        1 => "1 file".to_owned(),
        files => format!("{files} files"),
    };
    let _ = writeln!(
        text,
        "  {part:18} {} parameters, {} in {files}, tensors: {}",
        count(checkpoint.parameters()),
        size(checkpoint.tensor_bytes()),
        dtypes.join(", "),
    );
    let containers: BTreeSet<String> = checkpoint
        .containers()
        .map(|container| container.to_string())
        .collect();
    let containers: Vec<String> = containers.into_iter().collect();
    let naming = names.map_or_else(|| "unknown".to_owned(), |names| names.naming.to_string());
    let _ = writeln!(
        text,
        "  {:18} {} ({}; names: {naming})",
        "",
        checkpoint.origin(),
        containers.join(", "),
    );
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

fn defaults(defaults: &Defaults, scheduler: &str) -> String {
    let Defaults {
        width,
        height,
        frames,
        fps,
        steps,
        guidance,
        ..
    } = defaults;
    let mut text =
        format!("{width}x{height}, {frames} frames at {fps}/s, {steps} steps, guidance {guidance}");
    if let Some(second) = defaults.guidance_2 {
        let _ = write!(text, " and {second}");
    }
    if let Some(stop) = defaults.guidance_stop {
        let _ = write!(text, " in the first {:.0} % of them", stop * 100.0);
    }
    if let Some(shift) = defaults.shift {
        let _ = write!(text, ", shift {shift}");
    }
    let scheduler = defaults.scheduler.map_or(scheduler, |chosen| chosen.name());
    let _ = write!(text, ", {scheduler}");
    text
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let unit = UNITS.get(unit).copied().unwrap_or_default();
    if value.fract() < 0.05 {
        format!("{value:.0} {unit}")
    } else {
        format!("{value:.1} {unit}")
    }
}

/// Numbers for people.
fn count(number: u64) -> String {
    match number as f64 {
        n if n >= 1e9 => format!("{:.1} billion", n / 1e9),
        n if n >= 1e6 => format!("{:.1} million", n / 1e6),
        n if n >= 1e4 => format!("{:.0} thousand", n / 1e3),
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_numbers_read_well() {
        assert_eq!(
            [size(128 << 20), size(32 << 10), size(1_500_000_000)],
            ["128 MiB", "32 KiB", "1.4 GiB"]
        );
        assert_eq!(
            [count(1_418_996_800), count(85_400_000), count(300)],
            ["1.4 billion", "85.4 million", "300"]
        );
    }
}
