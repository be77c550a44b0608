//! The parts of a model, by name.

use std::fmt;

use crate::sampling::Expert;

/// A part of a model that has a turn on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Part {
    /// Prompts to embeddings.
    TextEncoder,
    /// The image half of CLIP: pictures to image tokens.
    ImageEncoder,
    /// The model's own autoencoder, frames to latents.
    VaeEncoder,
    /// The denoiser of high noise, or the only one.
    Transformer,
    /// The denoiser of low noise, where a model has two.
    Transformer2,
    /// The model's own autoencoder, latents to frames.
    VaeDecoder,
    /// A tiny decoder in its place.
    TinyDecoder,
}

impl Part {
    /// The part that an expert is.
    pub fn of(expert: Expert) -> Self {
        match expert {
            Expert::HighNoise => Self::Transformer,
            Expert::LowNoise => Self::Transformer2,
        }
    }

    /// The name in plans and messages; for a model's own parts that of their folder in the
    /// diffusers layout.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TextEncoder => "text_encoder",
            Self::ImageEncoder => "image_encoder",
            Self::VaeEncoder => "vae encoder",
            Self::Transformer => "transformer",
            Self::Transformer2 => "transformer_2",
            Self::VaeDecoder => "vae",
            Self::TinyDecoder => "tiny decoder",
        }
    }

    /// The part whose checkpoint has its weights: both halves of an autoencoder share one.
    pub(crate) const fn weights(self) -> Self {
        match self {
            Self::VaeEncoder => Self::VaeDecoder,
            part => part,
        }
    }

    /// Whether the part belongs to decoding, whose budget may differ from sampling's.
    pub const fn decodes(self) -> bool {
        matches!(self, Self::VaeDecoder | Self::TinyDecoder)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
