//! Layers that hold weights: what a model is put together from.

mod linear;

pub use linear::{Linear, Source};
