//! What a tensor is: shape and element type, with all that is known of each. No device.

mod dtype;
pub mod f8_e4m3;
mod floats;
mod format;
mod pack;
mod padded;
pub mod q4_0;
pub mod q4_k;
pub mod q5_k;
pub mod q6_k;
pub mod q8_0;
mod shape;

pub use dtype::DType;
pub use format::{Format, Layout, Rows, WeightModule};
pub use pack::ROWS;
pub use shape::Shape;
