//! Text encoders, transformers and decoders, from the configurations of the diffusers layout.

pub mod config;
pub mod prompt;
pub mod tokenizer;
mod signature;
pub mod umt5;
pub mod wan_transformer;
