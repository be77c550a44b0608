//! Text encoders, transformers and decoders, from the configurations of the diffusers layout.

mod charsmap;
pub mod config;
pub mod convert;
mod fours;
pub mod latent_rgb;
pub mod lora;
pub mod matrices;
pub mod names;
pub mod prompt;
mod sentencepiece;
mod signature;
pub mod tiny_vae;
pub mod tokenizer;
pub mod umt5;
pub mod wan_transformer;
pub mod wan_vae;
