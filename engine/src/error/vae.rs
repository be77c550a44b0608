//! Errors of the autoencoder's decoder.

/// Latents that cannot be decoded as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaeError {
    /// Another number of latents than the decoder was made for.
    #[error(
        "decoder: {found} latent values, expected {expected} for latents [C, T, h, w] of {shape:?}"
    )]
    Latents {
        /// Values given.
        found: usize,
        /// Values needed.
        expected: usize,
        /// The shape the decoder was made for.
        shape: [usize; 4],
    },
    /// Latents of another autoencoder.
    #[error(
        "decoder: the latents have {found} channels, expected {expected}, the z_dim of the autoencoder's config.json"
    )]
    Channels {
        /// Channels of the latents.
        found: usize,
        /// Channels of the autoencoder.
        expected: usize,
    },
    /// A checkpoint that is no tiny decoder, or one of other latents.
    #[error("tiny decoder {file}: {found}, expected {expected}")]
    Tiny {
        /// The file.
        file: String,
        /// What it holds.
        found: String,
        /// What is wanted.
        expected: String,
    },
    /// A size or option that must not be zero.
    #[error("decoder: {name} is 0, expected at least 1")]
    Zero {
        /// Which one.
        name: &'static str,
    },
    /// More memory than there is, even in the narrowest bands.
    #[error(
        "decoder: {width}x{height} pixels need {needed} bytes even in bands of one latent line, {available} may be used; choose a smaller size or allow more memory"
    )]
    DoesNotFit {
        /// Pixels.
        width: usize,
        /// Pixels.
        height: usize,
        /// Bytes needed.
        needed: u64,
        /// Bytes allowed.
        available: u64,
    },
    /// A temporary file for bands that cannot be written or read.
    #[error(
        "decoder: the temporary file for bands failed: {source}; free space in the temporary folder, or set TMPDIR to another"
    )]
    Scratch {
        /// The system's words.
        source: std::io::Error,
    },
}
