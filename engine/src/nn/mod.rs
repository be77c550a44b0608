//! Layers that hold weights: what a model is put together from.

mod linear;
mod norm;

pub use linear::{After, Linear, Source};
pub use norm::{LayerNorm, RmsNorm};
