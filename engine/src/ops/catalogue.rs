//! The kernels and what fits their slots, for people.

use std::fmt::Write;

use super::variants;
use crate::error::ShaderError;
use crate::record::{Caps, DeviceClass};
use crate::shader::{Library, Slot, Variant};

/// All kernels, a line each, and beneath each what fits its slots; `option` is how a person chooses it.
///
/// # Errors
/// A kernel that does not link.
pub fn list(library: &Library, option: &str) -> Result<String, ShaderError> {
    let mut text = String::new();
    let width = library.kernels().map(str::len).max().unwrap_or(0);
    for kernel in library.kernels() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{kernel:width$}  {}", headline(library, kernel));
        for slot in slots(library, kernel)? {
            let modules = library.alternatives(slot.name()).join(", ");
            let _ = writeln!(
                text,
                "{:width$}    {option} {}={{{modules}}}",
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

/// The simplest variant of a kernel, on a device with every feature. It still has the numbers of a
/// tile, without which a kernel is incomplete.
pub fn plainest(kernel: &'static str) -> Variant {
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
///
/// # Errors
/// A kernel that does not link.
pub fn slots(library: &Library, kernel: &'static str) -> Result<Vec<Slot>, ShaderError> {
    let linked = library.link(&plainest(kernel))?;
    let imported = |slot: &Slot| {
        let mut modules = linked.modules.iter();
        modules.any(|module| module.split('/').next() == Some(slot.name()))
    };
    Ok(Slot::ALL.into_iter().filter(imported).collect())
}
