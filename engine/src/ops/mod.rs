//! One file a kernel family: shapes, choice of kernel, params. No device: ops see [`Caps`].
//!
//! [`Caps`]: crate::record::Caps

pub mod matmul;
mod params;

pub use params::{Layout, Params};

use crate::record::Caps;
use crate::shader::Variant;

/// Every variant that the ops may choose on a device.
pub fn variants(caps: &Caps) -> Vec<Variant> {
    let mut all = Vec::new();
    all.extend(matmul::variants(caps));
    all
}

/// The params of every kernel.
pub fn layouts() -> Vec<Layout> {
    vec![params::layout::<matmul::MatmulParams>()]
}
