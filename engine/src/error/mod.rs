//! One public [`Error`]; inside it a typed enum per module.

mod gpu;
mod record;
mod shader;
mod weights;

pub use gpu::GpuError;
pub use record::RecordError;
pub use shader::ShaderError;
pub use weights::WeightsError;

/// What went wrong, as one sentence that names what was found, what was expected and what to change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Kernels and their linker.
    #[error(transparent)]
    Shader(#[from] ShaderError),
    /// Ops and recordings.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Devices and plans.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// Files of weights and latents.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

/// The engine's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
