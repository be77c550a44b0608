//! What a network is, read from its `config.json` of the diffusers layout: plain data.
//!
//! A field that is absent has the default of the reference class's own signature. Every number is
//! checked here, so that the code that builds a network may multiply them without a second thought.

pub(crate) mod fields;
mod image_encoder;
mod text_encoder;
mod transformer;
pub(crate) mod vae;

pub use image_encoder::{ClipActivation, ImageEncoderConfig};
pub use text_encoder::TextEncoderConfig;
pub use transformer::{MASK_CHANNELS, TransformerConfig};
pub use vae::VaeConfig;
