//! Options as other programs call them: the error names Kinora's.

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue};
use clap::{Command, Error};

/// Kinora's options, each with what diffusers, Wan and stable-diffusion.cpp call it, with dashes.
const OTHERS: [(&str, &[&str]); 14] = [
    ("frames", &["--num-frames", "--frame-num", "--video-frames"]),
    ("steps", &["--num-inference-steps", "--sample-steps"]),
    ("guidance", &GUIDANCE),
    ("guidance-2", &["--guidance-scale-2"]),
    ("shift", &["--flow-shift", "--sample-shift"]),
    ("scheduler", &["--sampling-method", "--sample-solver"]),
    ("seed", &["--base-seed"]),
    ("negative-prompt", &["--n-prompt"]),
    ("count", &["--batch-count", "--num-videos-per-prompt"]),
    ("model", &["--ckpt-dir"]),
    ("transformer", &["--diffusion-model"]),
    ("text-encoder", &["--t5xxl"]),
    ("lora", &["--lora-path"]),
    ("output", &["--save-file"]),
];

const GUIDANCE: [&str; 4] = [
    "--cfg-scale",
    "--guidance-scale",
    "--guide-scale",
    "--sample-guide-scale",
];

/// The error, with the option that is meant where `command` has it.
pub(crate) fn with_tip(mut error: Error, command: &Command, words: &[String]) -> Error {
    let Some(ContextValue::String(found)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let found = found.replace('_', "-");
    let Some(chosen) = words.iter().find_map(|word| command.find_subcommand(word)) else {
        return error;
    };
    let has = |id: &str| chosen.get_arguments().any(|own| own.get_id() == id);
    let tip = match found.as_str() {
        "-p" | "--prompt" if has("prompt") => {
            "the prompt stands by itself: kinora generate \"a red kite\"".to_owned()
        }
        "--size" if has("width") => "Kinora calls it '--width W --height H'".to_owned(),
        _ => match OTHERS.iter().find(|(_, others)| others.contains(&&*found)) {
            Some((option, _)) if has(&option.replace('-', "_")) => {
                format!("Kinora calls it '--{option}'")
            }
            _ => return error,
        },
    };
    error.remove(ContextKind::SuggestedArg);
    error.insert(
        ContextKind::Suggested,
        ContextValue::StyledStrs(vec![StyledStr::from(tip)]),
    );
    error
}
