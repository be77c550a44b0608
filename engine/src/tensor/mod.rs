//! What a tensor is: element type and shape. No data, no device.

mod dtype;
pub mod q8_0;
mod shape;

pub use dtype::DType;
pub use shape::Shape;
