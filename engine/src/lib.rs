//! Kinora: a text prompt becomes a video on any vendor's GPU.

pub mod bench;
pub mod error;
pub mod gpu;
pub mod media;
pub mod model_files;
pub mod models;
pub mod nn;
pub mod ops;
mod panics;
pub mod record;
pub mod sampling;
pub mod shader;
mod staged;
pub mod tensor;
pub mod text;
pub mod text_to_video;
pub mod weights;

pub use error::{Error, Result};
pub use panics::keep_caught_panics_quiet;
