//! Errors of a request: options that cannot be meant.

/// An option of a request that the model or the engine cannot take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// A number outside its range.
    #[error("{option} is {found}, expected {expected}")]
    Range {
        /// The option, as the command line calls it.
        option: &'static str,
        /// Its value.
        found: String,
        /// What it must be.
        expected: String,
    },
    /// A prompt beyond any use.
    #[error(
        "{option} has {found} bytes, expected at most {limit}: the model reads {tokens} tokens of it"
    )]
    PromptTooLong {
        /// The option.
        option: &'static str,
        /// Bytes.
        found: usize,
        /// Bytes, at most.
        limit: usize,
        /// Tokens that the model reads.
        tokens: usize,
    },
    /// A part that does not fit, however it is cut.
    #[error(
        "the {part} needs {} of device memory, and there may be {} used: {}",
        megabytes(*needed),
        megabytes(*budget),
        advice(*needed, *instead)
    )]
    Memory {
        /// The part of the model.
        part: &'static str,
        /// Bytes that it needs at the least.
        needed: u64,
        /// Bytes that may be used.
        budget: u64,
        /// Frames of the same size that fit.
        instead: Option<usize>,
    },
    /// What another run kept.
    #[error(
        "this run cannot go on from a sample of shape {:?} after {} steps, expected {:?} after at most {}",
        found.0, found.1, expected.0, expected.1
    )]
    Sample {
        /// Its shape, and the steps that are done.
        found: (Vec<usize>, usize),
        /// The run's shape and steps.
        expected: (Vec<usize>, usize),
    },
    /// Latents of another model.
    #[error(
        "{file}: latents have shape {found:?}, expected [1, {channels}, T, h, w] for this model"
    )]
    Latents {
        /// The file.
        file: String,
        /// Their shape.
        found: Vec<usize>,
        /// The model's channels.
        channels: usize,
    },
    /// Latents that no linear map to colours is known for.
    #[error(
        "no colours are known for latents of {channels} channels, expected 16 (Wan 2.1, 2.2 A14B), 32 (the starter) or 48 (2.2 TI2V-5B): leave --preview and --decoder linear out"
    )]
    NoColours {
        /// Channels of the latents.
        channels: usize,
    },
}

fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(1_000_000))
}

fn advice(needed: u64, frames: Option<usize>) -> String {
    let memory = format!("allow it with --memory {}MB", needed.div_ceil(1_000_000));
    match frames {
        Some(frames) => format!("{memory}, or make {frames} frames with --frames {frames}"),
        None => format!("{memory}, or make a smaller picture"),
    }
}
