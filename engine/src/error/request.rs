//! Errors of a request: fields that the model or the engine cannot take.

/// Why a request cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// A number outside its range.
    #[error("{field} is {found}, expected {expected}")]
    Range {
        /// The field of the request.
        field: &'static str,
        /// Its value.
        found: String,
        /// What it must be.
        expected: String,
    },
    /// A picture or a clip for a model that cannot start from it.
    #[error(
        "{model} cannot start from {}; models that can: {can}",
        starting(field)
    )]
    CannotStart {
        /// The model's name.
        model: String,
        /// The field of the request.
        field: &'static str,
        /// Names of models that can.
        can: String,
    },
    /// A model without the encoder that a picture or a clip needs.
    #[error(
        "{model} brings only the decoder of its autoencoder, no encoder, and cannot start from a picture or a video; models that can: {can}"
    )]
    NoEncoder {
        /// The model's name.
        model: String,
        /// Names of models that can.
        can: String,
    },
    /// A model that starts from a picture, without one.
    #[error(
        "{model} starts from {}, and the request has none; give one as {field}",
        starting(field)
    )]
    NeedsPicture {
        /// The model's name.
        model: String,
        /// The field of the request.
        field: &'static str,
    },
    /// A seed whose variations go beyond the largest.
    #[error(
        "seed {seed} with count {count} goes beyond {}: choose a smaller one",
        u64::MAX
    )]
    Seeds {
        /// The first seed.
        seed: u64,
        /// The number of variations.
        count: u64,
    },
    /// A file of prompts that cannot be used.
    #[error("{}{line}: {problem}", path.display())]
    Prompts {
        /// The file.
        path: std::path::PathBuf,
        /// `, line N`, where one is at fault.
        line: String,
        /// What is wrong.
        problem: String,
    },
    /// A prompt that is far too long.
    #[error(
        "the {} has {found} bytes, expected at most {limit}: the model reads {tokens} tokens of it",
        field.replace('_', " ")
    )]
    PromptTooLong {
        /// The field of the request.
        field: &'static str,
        /// Bytes.
        found: usize,
        /// Bytes, at most.
        limit: usize,
        /// Tokens that the model reads.
        tokens: usize,
    },
    /// A part whose smallest plan exceeds the budget.
    #[error(
        "the {part} needs {} of device memory, but the run may use only {}: {}",
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
    /// A run that was prepared only for its memory plan.
    #[error("the {part} is not planned: the run was prepared without it and cannot be started")]
    NotPlanned {
        /// The part.
        part: &'static str,
    },
    /// The solver's state of another run.
    #[error(
        "the saved state has latents of shape {:?} after {} steps, and this run has {:?} and at most {}: it belongs to another run",
        found.0, found.1, expected.0, expected.1
    )]
    State {
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
    /// Latents of another shape than the decode was prepared for.
    #[error("latents have shape {found:?}, expected {expected:?}: prepare a new job for these")]
    LatentsShape {
        /// Their shape.
        found: [usize; 5],
        /// The shape that was prepared for.
        expected: [usize; 5],
    },
    /// Latents for which no linear map to colours is known.
    #[error(
        "no colours are known for latents of {channels} channels, expected 16 (Wan 2.1, 2.2 A14B), 32 (the starter) or 48 (2.2 TI2V-5B)"
    )]
    NoColours {
        /// Channels of the latents.
        channels: usize,
    },
}

/// What a field of a request starts a clip from, in words.
fn starting(field: &str) -> &'static str {
    match field {
        "image" => "an image",
        "last_image" => "a last image",
        _ => "a video",
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(1_000_000))
}

fn advice(needed: u64, frames: Option<usize>) -> String {
    let memory = format!("allow a memory budget of {}MB", needed.div_ceil(1_000_000));
    match frames {
        Some(frames) => format!("{memory}, or make {frames} frames"),
        None => format!("{memory}, or make a smaller picture"),
    }
}
