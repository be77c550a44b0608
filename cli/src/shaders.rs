//! `kinora shaders`: the kernels, their slots, and a kernel's whole text.

use kinora::ops::catalogue::{list, plainest, slots};
use kinora::shader::Library;

use crate::args::ShadersArgs;
use crate::error::CliError;
use crate::output;

/// Lists kernels, or prints one.
pub(crate) fn run(args: &ShadersArgs) -> Result<(), CliError> {
    let library = Library::default();
    let text = match &args.name {
        None => list(&library, "--slot")?,
        Some(name) => linked(&library, name, args)?,
    };
    output::print(text.as_bytes())
}

fn linked(library: &Library, name: &str, args: &ShadersArgs) -> Result<String, CliError> {
    let name = name.strip_suffix(".wgsl").unwrap_or(name);
    let kernel = library.kernels().find(|kernel| *kernel == name);
    let kernel = kernel.ok_or_else(|| CliError::UnknownKernel {
        name: name.to_owned(),
        known: library.kernels().collect::<Vec<_>>().join(", "),
    })?;
    let slots = slots(library, kernel)?;
    let mut variant = plainest(kernel);
    for (slot, chosen) in &args.slot {
        let found = slots.iter().find(|found| found.name() == slot);
        let slot = *found.ok_or_else(|| CliError::UnknownSlot {
            kernel: kernel.to_owned(),
            slot: slot.clone(),
            known: match slots.as_slice() {
                [] => "none".to_owned(),
                some => some
                    .iter()
                    .map(|slot| slot.name())
                    .collect::<Vec<_>>()
                    .join(", "),
            },
        })?;
        let modules = library.alternatives(slot.name());
        let module = modules.iter().find(|module| *module == chosen);
        variant = variant.slot(
            slot,
            module.ok_or_else(|| CliError::UnknownModule {
                slot: slot.name().to_owned(),
                module: chosen.clone(),
                known: modules.join(", "),
            })?,
        );
    }
    Ok(library.link(&variant)?.text)
}
