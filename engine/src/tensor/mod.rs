//! Tensors as data: shapes and element types, without a device.

mod affine;
mod dtype;
pub mod f8_e4m3;
pub mod f8_e5m2;
mod fit;
mod floats;
mod format;
pub mod int8;
pub mod iq4_nl;
pub mod iq4_xs;
pub mod nvfp4;
mod pack;
mod padded;
pub mod q2_k;
pub mod q3_k;
pub mod q4_0;
pub mod q4_1;
pub mod q4_k;
pub mod q5_0;
pub mod q5_1;
pub mod q5_k;
pub mod q6_k;
pub mod q8_0;
mod shape;

pub use dtype::DType;
pub use format::{Format, Layout, Rows, WeightModule};
pub use pack::ROWS;
pub use shape::Shape;
