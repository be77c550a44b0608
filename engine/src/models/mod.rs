//! Networks: text and image encoders, transformers and autoencoders, from the configurations of the diffusers
//! layout.

mod alignment;
pub mod clip;
pub mod config;
pub mod latent_rgb;
mod signature;
pub mod umt5;
pub mod vae;
pub mod wan_transformer;
