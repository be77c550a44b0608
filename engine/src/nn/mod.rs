//! Layers that hold weights: what a model is put together from.

mod linear;
mod norm;
mod weights;

pub use linear::{After, Linear};
pub use norm::{LayerNorm, RmsNorm};
pub use weights::Weights;
