//! One file a kernel family: shapes, choice of kernel, params. No device: ops see [`Caps`].
//!
//! [`Caps`]: crate::record::Caps

pub mod add;
pub mod attention;
pub mod catalogue;
pub mod ceiling;
pub mod channel_norm;
pub mod columns;
pub mod conv3d;
mod conv3d_geometry;
mod conv3d_tiled;
mod describe;
pub mod embed;
mod epilogue;
pub mod frames;
mod gemm;
pub mod latents;
pub mod matmul;
mod matvec;
pub mod norm;
mod params;
pub mod patch;
pub mod picture;
mod reduce;
mod register_tiles;
pub mod rope;
pub mod solver;
mod split;
pub mod tiles;
mod weight_module;
mod window;

pub use describe::describe;
pub use params::{Layout, Params};

use crate::record::Caps;
use crate::shader::Variant;

/// Every variant that the ops may choose on a device.
pub fn variants(caps: &Caps) -> Vec<Variant> {
    let mut all = Vec::new();
    all.extend(add::variants(caps));
    all.extend(attention::variants(caps));
    all.extend(ceiling::variants(caps));
    all.extend(channel_norm::variants(caps));
    all.extend(columns::variants(caps));
    all.extend(conv3d::variants(caps));
    all.extend(embed::variants(caps));
    all.extend(frames::variants(caps));
    all.extend(latents::variants(caps));
    all.extend(picture::variants(caps));
    all.extend(matmul::variants(caps));
    all.extend(matvec::variants(caps));
    all.extend(norm::variants(caps));
    all.extend(patch::variants(caps));
    all.extend(gemm::variants(caps));
    all.extend(solver::variants(caps));
    all
}

/// The params of every kernel.
pub fn layouts() -> Vec<Layout> {
    let heads = params::layout::<attention::AttentionParams>();
    let patch = params::layout::<patch::PatchParams>();
    let product = params::layout::<gemm::ProductParams>();
    vec![
        params::layout::<add::AddParams>(),
        heads,
        ("attention_coop", heads.1, heads.2),
        ("attention_staged", heads.1, heads.2),
        params::layout::<ceiling::CoopParams>(),
        params::layout::<ceiling::CopyParams>(),
        params::layout::<ceiling::FmaParams>(),
        params::layout::<attention::PackWeightParams>(),
        params::layout::<attention::SoftmaxParams>(),
        params::layout::<channel_norm::ChannelNormParams>(),
        params::layout::<columns::ColumnsParams>(),
        params::layout::<conv3d::Conv3dParams>(),
        params::layout::<embed::ModulationParams>(),
        params::layout::<embed::SiluParams>(),
        params::layout::<frames::AvgDownParams>(),
        params::layout::<frames::CropLinesParams>(),
        params::layout::<frames::DupUpParams>(),
        params::layout::<latents::DenormaliseParams>(),
        params::layout::<latents::Rgb8Params>(),
        params::layout::<picture::Rgba8Params>(),
        params::layout::<picture::Yuv420Params>(),
        params::layout::<matmul::MatmulParams>(),
        params::layout::<norm::NormParams>(),
        patch,
        ("unpatchify", patch.1, patch.2),
        product,
        ("matmul_staged", product.1, product.2),
        ("matvec", product.1, product.2),
        params::layout::<solver::SolverParams>(),
    ]
}
