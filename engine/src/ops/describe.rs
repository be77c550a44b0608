//! The kernels that are chosen on a device, in words.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::variants;
use crate::record::Caps;

// Writing to a string cannot fail.
/// The kernels that the ops choose among on a device: their modules and numbers.
pub fn describe(caps: &Caps) -> String {
    let mut text = String::new();
    let variants = variants(caps);
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
    text
}
