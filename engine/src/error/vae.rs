//! Errors of the autoencoder's decoder and encoder.

/// Latents that cannot be decoded, or frames that cannot be encoded, as asked.
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
    /// A number of frames that no latents stand for.
    #[error(
        "encoder: {found} frames, expected one and then a multiple of {step}, such as {}; leave some out or repeat some", 1 + found.saturating_sub(1) / step * step
    )]
    Frames {
        /// Frames of the video.
        found: usize,
        /// Frames of a latent frame.
        step: usize,
    },
    /// Pixels that do not make whole latents.
    #[error(
        "encoder: {width}x{height} pixels, expected multiples of {side} along both sides; resize or crop the frames"
    )]
    Size {
        /// Pixels.
        width: usize,
        /// Pixels.
        height: usize,
        /// Pixels of a latent along a side.
        side: usize,
    },
    /// A size or option that must not be zero.
    #[error("{network}: {name} is 0, expected at least 1")]
    Zero {
        /// The decoder or the encoder.
        network: &'static str,
        /// Which one.
        name: &'static str,
    },
    /// More memory than there is, even in the narrowest bands.
    #[error(
        "{network}: {width}x{height} pixels need {needed} bytes even in bands of one latent line, {available} may be used; choose a smaller size or allow more memory"
    )]
    DoesNotFit {
        /// The decoder or the encoder.
        network: &'static str,
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
        "{network}: the temporary file for bands failed: {source}; free space in the temporary folder, or set TMPDIR to another"
    )]
    Scratch {
        /// The decoder or the encoder.
        network: &'static str,
        /// The system's words.
        source: std::io::Error,
    },
}
