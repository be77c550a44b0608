//! `kinora shaders`: the kernels, their slots, and a kernel's whole text.

use std::fmt::Write;

use kinora::ops::variants;
use kinora::record::{Caps, DeviceClass};
use kinora::shader::{Library, Slot, Variant};

use crate::args::ShadersArgs;
use crate::error::CliError;
use crate::output;

/// Lists kernels, or prints one.
pub(crate) fn run(args: &ShadersArgs) -> Result<(), CliError> {
    let library = Library::default();
    let text = match &args.name {
        None => list(&library)?,
        Some(name) => linked(&library, name, args)?,
    };
    output::print(text.as_bytes())
}

fn list(library: &Library) -> Result<String, CliError> {
    let mut text = String::new();
    let width = library.kernels().map(str::len).max().unwrap_or(0);
    for kernel in library.kernels() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{kernel:width$}  {}", headline(library, kernel));
        for slot in slots(library, kernel)? {
            let modules = library.alternatives(slot.name()).join(", ");
            let _ = writeln!(
                text,
                "{:width$}    --slot {}={{{modules}}}",
                "",
                slot.name()
            );
        }
    }
    Ok(text)
}

/// The first line of the kernel's own description.
fn headline(library: &Library, kernel: &str) -> String {
    let lines = library.text(kernel).unwrap_or_default().lines();
    let first = lines
        .map(|line| line.trim_start_matches('/').trim())
        .find(|line| !line.is_empty());
    first.unwrap_or_default().to_owned()
}

/// The variant of a kernel that names least, on a device that has all there is: tiles have numbers,
/// which a kernel does not have by itself.
fn plainest(kernel: &'static str) -> Variant {
    let gpu = Caps {
        class: DeviceClass::Discrete,
        f16: true,
        cooperative: vec![16],
        subgroups: Some((32, 32)),
        workgroup_memory: 48 << 10,
        ..Caps::least()
    };
    let software = Caps {
        class: DeviceClass::Software,
        ..Caps::least()
    };
    let all = [gpu, software].into_iter().flat_map(|caps| variants(&caps));
    let of_kernel = all.filter(|variant| variant.kernel() == kernel);
    let least = of_kernel.min_by_key(|variant| variant.slots().len());
    least.unwrap_or_else(|| Variant::new(kernel))
}

/// The slots that the kernel or one of its modules imports.
fn slots(library: &Library, kernel: &'static str) -> Result<Vec<Slot>, CliError> {
    let linked = library.link(&plainest(kernel))?;
    let imported = |slot: &Slot| {
        let mut modules = linked.modules.iter();
        modules.any(|module| module.split('/').next() == Some(slot.name()))
    };
    Ok(Slot::ALL.into_iter().filter(imported).collect())
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
    for choice in &args.slot {
        let slot = slots.iter().find(|slot| slot.name() == choice.slot);
        let slot = *slot.ok_or_else(|| CliError::UnknownSlot {
            kernel: kernel.to_owned(),
            slot: choice.slot.clone(),
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
        let module = modules.iter().find(|module| **module == choice.module);
        variant = variant.slot(
            slot,
            module.ok_or_else(|| CliError::UnknownModule {
                slot: slot.name().to_owned(),
                module: choice.module.clone(),
                known: modules.join(", "),
            })?,
        );
    }
    Ok(library.link(&variant)?.text)
}
