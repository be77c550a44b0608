//! Errors of models: valid configurations that this engine does not support, and inputs of the wrong
//! size.

/// A model that cannot be run, or not with these sizes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A size that kernels do not take.
    #[error("{model}: {field} is {found}; Kinora needs {expected}")]
    Unsupported {
        /// The model's class.
        model: &'static str,
        /// The field of its configuration.
        field: &'static str,
        /// Its value.
        found: usize,
        /// What the kernels take.
        expected: &'static str,
    },
    /// More positions than rotary embedding is defined for.
    #[error(
        "the latents have {found} tokens along {axis} and the model's rotary embedding {limit} (rope_max_seq_len); choose a smaller size or fewer frames"
    )]
    Positions {
        /// `time`, `height` or `width`.
        axis: &'static str,
        /// Tokens along it.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A transformer of the family whose extra layers are not built.
    #[error(
        "the transformer is {model}, by its tensor {tensor}; Kinora runs Wan's text-to-video and image-to-video models, so choose one of those"
    )]
    Variant {
        /// What it is.
        model: &'static str,
        /// The tensor that tells.
        tensor: String,
    },
    /// Another number of image tokens than the model takes.
    #[error("{model}: {found} image tokens, expected {expected}")]
    ImageTokens {
        /// The model's class.
        model: &'static str,
        /// How many.
        found: usize,
        /// How many the model takes.
        expected: String,
    },
    /// Latents of a shape that the model cannot cut into patches.
    #[error("latents of shape {found:?} (C, T, h, w), expected {channels} channels and {multiple}")]
    Latents {
        /// Their shape.
        found: [usize; 4],
        /// Channels of the model.
        channels: usize,
        /// What h and w must be.
        multiple: String,
    },
    /// Values of another number than the model takes.
    #[error("{what}: {found} values, expected {expected}")]
    Length {
        /// Which input.
        what: &'static str,
        /// How many.
        found: usize,
        /// How many, or a multiple of what.
        expected: String,
    },
    /// An empty prompt: not even the end-of-text token.
    #[error("a prompt without tokens; a tokenizer appends at least the end-of-text token")]
    NoTokens,
}
