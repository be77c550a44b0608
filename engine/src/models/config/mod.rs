//! The configuration of each network, read from its `config.json` of the diffusers layout: plain data.
//!
//! An absent field has the default of the reference class's signature. Every number is checked here, so
//! that products of them in the code that builds a network cannot overflow.

pub(crate) mod fields;
mod image_encoder;
mod text_encoder;
mod transformer;
pub(crate) mod vae;

pub use image_encoder::{ClipActivation, ImageEncoderConfig};
pub use text_encoder::TextEncoderConfig;
pub use transformer::{MASK_CHANNELS, TransformerConfig};
pub use vae::VaeConfig;
