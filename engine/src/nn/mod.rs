//! Layers with weights, from which models are built.

mod linear;
mod norm;
mod weights;

pub use linear::{After, Linear};
pub use norm::{LayerNorm, RmsNorm};
pub use weights::Weights;
