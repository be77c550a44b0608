//! What a tensor is: element type and shape. No data, no device.

mod dtype;
pub mod f8_e4m3;
mod padded;
pub mod q4_0;
pub mod q4_k;
pub mod q5_k;
pub mod q6_k;
pub mod q8_0;
mod shape;

pub use dtype::DType;
pub use shape::Shape;
