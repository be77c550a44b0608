//! One file a kernel family: shapes, choice of kernel, params. No device: ops see [`Caps`].
//!
//! [`Caps`]: crate::record::Caps

pub mod attention;
pub mod embed;
pub mod matmul;
pub mod norm;
mod params;
pub mod patch;
pub mod rope;
pub mod solver;

pub use params::{Layout, Params};

use crate::record::Caps;
use crate::shader::Variant;

/// Every variant that the ops may choose on a device.
pub fn variants(caps: &Caps) -> Vec<Variant> {
    let mut all = Vec::new();
    all.extend(attention::variants(caps));
    all.extend(embed::variants(caps));
    all.extend(matmul::variants(caps));
    all.extend(norm::variants(caps));
    all.extend(patch::variants(caps));
    all.extend(rope::variants(caps));
    all.extend(solver::variants(caps));
    all
}

/// The params of every kernel.
pub fn layouts() -> Vec<Layout> {
    vec![
        params::layout::<attention::AttentionParams>(),
        params::layout::<embed::ModulationParams>(),
        params::layout::<embed::SiluParams>(),
        params::layout::<matmul::MatmulParams>(),
        params::layout::<norm::LayerNormParams>(),
        params::layout::<norm::RmsNormParams>(),
        params::layout::<patch::PatchifyParams>(),
        params::layout::<patch::UnpatchifyParams>(),
        params::layout::<rope::RopeParams>(),
        params::layout::<solver::SolverParams>(),
    ]
}
