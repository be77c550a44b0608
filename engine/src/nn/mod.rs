//! Layers that hold weights: what a model is put together from.

mod linear;
mod norm;
mod source;

pub use linear::{After, Linear};
pub use norm::{LayerNorm, RmsNorm};
pub use source::Source;
