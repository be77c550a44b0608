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
}
