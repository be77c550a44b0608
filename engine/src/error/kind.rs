//! Classes of errors, for programs that decide by them.

use super::{
    ConfigError, Error, GpuError, MediaError, PictureError, RequestError, VaeError, WeightsError,
};

/// What sort of failure an [`Error`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A request or a file's contents are invalid.
    Invalid,
    /// A file, model or device that is not there.
    NotFound,
    /// A file or device that Kinora does not take.
    Unsupported,
    /// The device or the budget has no room.
    OutOfMemory,
    /// The device went away.
    DeviceLost,
    /// Reading or writing failed.
    Io,
    /// The run was asked to stop.
    Cancelled,
    /// A fault of Kinora or of a driver.
    Internal,
}

impl Error {
    /// Which sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Cancelled | Self::Gpu(GpuError::Cancelled) => ErrorKind::Cancelled,
            Self::Gpu(error) => match error {
                GpuError::NoDevice | GpuError::UnknownDevice { .. } => ErrorKind::NotFound,
                GpuError::TooSmall { .. } => ErrorKind::Unsupported,
                GpuError::BufferTooLarge { .. }
                | GpuError::OutOfMemory { .. }
                | GpuError::Exhausted { .. } => ErrorKind::OutOfMemory,
                GpuError::Lost { .. } => ErrorKind::DeviceLost,
                _ => ErrorKind::Internal,
            },
            Self::Request(RequestError::Memory { .. }) | Self::Vae(VaeError::DoesNotFit { .. }) => {
                ErrorKind::OutOfMemory
            }
            Self::Weights(error) => match error {
                WeightsError::Missing { .. } => ErrorKind::NotFound,
                WeightsError::Unsupported { .. } => ErrorKind::Unsupported,
                WeightsError::Read { .. } | WeightsError::Write { .. } => ErrorKind::Io,
                _ => ErrorKind::Invalid,
            },
            Self::Config(error) => match error {
                ConfigError::Missing { .. }
                | ConfigError::NotAFolder { .. }
                | ConfigError::NoSuchModel { .. } => ErrorKind::NotFound,
                ConfigError::Read { .. } => ErrorKind::Io,
                _ => ErrorKind::Invalid,
            },
            Self::Media(error) => match error {
                MediaError::Read { .. }
                | MediaError::Write { .. }
                | MediaError::DiskFull { .. }
                | MediaError::FolderNotWritable { .. } => ErrorKind::Io,
                MediaError::Encoder { .. } | MediaError::Container { .. } => ErrorKind::Internal,
                _ => ErrorKind::Invalid,
            },
            Self::Picture(error) => match error {
                PictureError::Read { .. } => ErrorKind::Io,
                PictureError::Unsupported { .. } | PictureError::Codec { .. } => {
                    ErrorKind::Unsupported
                }
                _ => ErrorKind::Invalid,
            },
            Self::Vae(VaeError::Scratch { .. }) => ErrorKind::Io,
            Self::Shader(_) | Self::Record(_) => ErrorKind::Internal,
            Self::Vae(_)
            | Self::Model(_)
            | Self::Sampling(_)
            | Self::State(_)
            | Self::Request(_) => ErrorKind::Invalid,
        }
    }

    /// Whether the run was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.kind() == ErrorKind::Cancelled
    }
}
