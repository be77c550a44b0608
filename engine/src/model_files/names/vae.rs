//! Wan's autoencoders, as their own release names them.
//!
//! The original of 2.1 has what upsamples in one list, residual blocks and upsamplers alike; that
//! of 2.2 has a list for each level:
//!
//! ```text
//! 2.1  decoder.upsamples.0 1 2 residual, 3 resample, 4 5 6 residual, 7 resample, …
//!      decoder.up_blocks.0.resnets.0 1 2, .upsamplers.0, up_blocks.1.resnets.0 1 2, …
//! 2.2  decoder.upsamples.0.upsamples.0 1 2 residual, 3 resample
//!      decoder.up_blocks.0.resnets.0 1 2, .upsampler
//! ```
//!
//! diffusers keeps the one list of the 2.1 encoder.

use super::{indexed, replace_head};

/// Modules with one place: original, diffusers.
const ENDS: [(&str, &str); 8] = [
    ("conv1", "quant_conv"),
    ("conv2", "post_quant_conv"),
    ("encoder.conv1", "encoder.conv_in"),
    ("decoder.conv1", "decoder.conv_in"),
    ("encoder.head.0", "encoder.norm_out"),
    ("decoder.head.0", "decoder.norm_out"),
    ("encoder.head.2", "encoder.conv_out"),
    ("decoder.head.2", "decoder.conv_out"),
];

/// Modules of a residual block: original, diffusers.
const RESIDUAL: [(&str, &str); 5] = [
    ("residual.0", "norm1"),
    ("residual.2", "conv1"),
    ("residual.3", "norm2"),
    ("residual.6", "conv2"),
    ("shortcut", "conv_shortcut"),
];

/// The upsamplers' places in the list `decoder.upsamples` of an original 2.1 behind `prefix`.
pub(super) fn upsamplers<'n>(names: impl Iterator<Item = &'n str>, prefix: &str) -> Vec<usize> {
    let mut places: Vec<usize> = names
        .filter_map(|name| {
            let name = name.strip_prefix(prefix)?;
            let (place, rest) = indexed(name, "decoder.upsamples.")?;
            is_resampler(rest).then_some(place)
        })
        .collect();
    places.sort_unstable();
    places.dedup();
    places
}

/// The original's `name` in diffusers.
pub(super) fn diffusers(name: &str, upsamplers: &[usize]) -> Option<String> {
    if let Some(renamed) = replace_head(name, &ENDS) {
        return Some(renamed);
    }
    for half in ["encoder", "decoder"] {
        if let Some((place, rest)) = indexed(name, &format!("{half}.middle.")) {
            return match place {
                1 => Some(format!("{half}.mid_block.attentions.0.{rest}")),
                _ => {
                    let rest = replace_head(rest, &RESIDUAL)?;
                    Some(format!("{half}.mid_block.resnets.{}.{rest}", place / 2))
                }
            };
        }
    }
    if let Some((place, rest)) = indexed(name, "encoder.downsamples.") {
        let rest = match indexed(rest, "downsamples.") {
            Some((inner, rest)) => of_level("downsampler", inner, rest)?,
            None if is_resampler(rest) => rest.to_owned(),
            None => replace_head(rest, &RESIDUAL)?,
        };
        return Some(format!("encoder.down_blocks.{place}.{rest}"));
    }
    let (place, rest) = indexed(name, "decoder.upsamples.")?;
    if let Some((inner, rest)) = indexed(rest, "upsamples.") {
        let rest = of_level("upsampler", inner, rest)?;
        return Some(format!("decoder.up_blocks.{place}.{rest}"));
    }
    let level = upsamplers.iter().filter(|&&at| at < place).count();
    let before = level.checked_sub(1).and_then(|last| upsamplers.get(last));
    let first = before.map_or(0, |at| at + 1);
    let rest = of_level("upsamplers.0", place - first, rest)?;
    Some(format!("decoder.up_blocks.{level}.{rest}"))
}

/// A module of a level: the residual block at `place`, or the resampler.
fn of_level(resampler: &str, place: usize, rest: &str) -> Option<String> {
    if is_resampler(rest) {
        return Some(format!("{resampler}.{rest}"));
    }
    let rest = replace_head(rest, &RESIDUAL)?;
    Some(format!("resnets.{place}.{rest}"))
}

/// Whether a module belongs to what changes the size between levels.
fn is_resampler(rest: &str) -> bool {
    ["resample.", "time_conv."]
        .iter()
        .any(|module| rest.starts_with(module))
}
