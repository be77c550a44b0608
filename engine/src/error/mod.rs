//! One public [`Error`]; inside it a typed enum per module.

mod adapter;
mod config;
mod gguf;
mod gpu;
mod kind;
mod media;
mod mistaken;
mod model;
mod picture;
mod record;
mod request;
mod sampling;
mod shader;
mod state;
mod torch;
mod vae;
mod weights;

pub use adapter::AdapterError;
pub use config::ConfigError;
pub use gguf::GgufFault;
pub use gpu::GpuError;
pub use kind::ErrorKind;
pub use media::MediaError;
pub(crate) use mistaken::mistaken;
pub use model::ModelError;
pub use picture::PictureError;
pub use record::RecordError;
pub use request::RequestError;
pub use sampling::SamplingError;
pub use shader::ShaderError;
pub use state::StateError;
pub use torch::TorchFault;
pub use vae::VaeError;
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
    /// The run was asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// Devices and plans.
    #[error(transparent)]
    Gpu(GpuError),
    /// Files of weights and latents.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The autoencoder's decoder.
    #[error(transparent)]
    Vae(#[from] VaeError),
    /// A model's configuration files.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Models: sizes they cannot take, inputs of the wrong size.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Schedules, solvers, guidance and noise.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
    /// Clips and frames on disk.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// Pictures and clips that a run starts from.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// Runs that are saved on the disk.
    #[error(transparent)]
    State(#[from] StateError),
    /// What is asked for.
    #[error(transparent)]
    Request(#[from] RequestError),
}

impl From<GpuError> for Error {
    fn from(error: GpuError) -> Self {
        match error {
            GpuError::Cancelled => Self::Cancelled,
            error => Self::Gpu(error),
        }
    }
}

/// The engine's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
