//! Kinora: a text prompt becomes a video on any vendor's GPU.
pub mod error;
pub use error::Error;
