//! The denoiser's inputs other than the latents and the time.

/// Host values that every step of a run is conditioned on, made by the encoders before the first
/// step. A family reads the fields that it knows.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Conditioning {
    /// Embeddings [tokens, text_dim] f32 of the prompt and, in a guided run, of the negative
    /// prompt.
    pub text: Vec<Vec<f32>>,
}
