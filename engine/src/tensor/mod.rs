//! What a tensor is: element type and shape. No data, no device.

mod dtype;
mod shape;

pub use dtype::DType;
pub use shape::Shape;
