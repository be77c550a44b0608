//! Describes a model for people: parts, element types, missing files, defaults of its runs.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::names::Names;
use super::{Defaults, Layout, ModelFolder};
use crate::error::Error;
use crate::numbers::{count, size};
use crate::weights::Checkpoint;

// Writing to a string cannot fail.
impl ModelFolder {
    /// Describes the model to people, and what keeps it from running: a part that is missing or
    /// incomplete.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn describe(&self) -> Result<(String, Option<Error>), Error> {
        let folder = self;
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
            Err(error) => return Ok((text, Some(error.into()))),
        };
        let [tall, wide] = config.pixels_per_token();
        let _ = writeln!(
            text,
            "  {:18} multiples of {wide}x{tall} pixels, {}n + 1 frames",
            "makes", config.vae.scale_factor_temporal
        );
        let starts = config.starts_from().describe();
        let _ = writeln!(text, "  {:18} {starts}", "starts from");
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
