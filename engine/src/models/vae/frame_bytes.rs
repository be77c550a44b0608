//! The bytes of a decoded frame, on the device or on the host.

use std::borrow::Cow;

use crate::error::GpuError;
use crate::gpu::{Buffer, Gpu};

/// The bytes of a frame, height x width x RGB.
#[derive(Clone, Copy, Debug)]
pub enum FrameBytes<'f> {
    /// On the host: frames that bands were joined to.
    Host(&'f [u8]),
    /// On the device, until the next frames are decoded.
    Device {
        /// The device.
        gpu: &'f Gpu,
        /// Frames one after the other.
        buffer: &'f Buffer,
        /// The first byte.
        start: u64,
        /// How many.
        bytes: u64,
    },
}

impl<'f> FrameBytes<'f> {
    /// The bytes on the host.
    ///
    /// # Errors
    /// The device failed.
    pub fn read(&self) -> Result<Cow<'f, [u8]>, GpuError> {
        match *self {
            Self::Host(bytes) => Ok(Cow::Borrowed(bytes)),
            Self::Device {
                gpu,
                buffer,
                start,
                bytes,
            } => Ok(Cow::Owned(gpu.read(buffer, start..start + bytes)?)),
        }
    }

    /// A buffer of the device with the bytes, and the first of them.
    ///
    /// # Errors
    /// No room on the device, or it failed.
    pub(crate) fn on_device(&self, gpu: &Gpu) -> Result<(Buffer, u64), GpuError> {
        match *self {
            Self::Device { buffer, start, .. } => Ok((buffer.clone(), start)),
            Self::Host(bytes) => {
                let mut padded = bytes.to_vec();
                padded.resize(bytes.len().next_multiple_of(4), 0);
                let buffer = gpu.buffer("frame", padded.len() as u64)?;
                gpu.write(&buffer, 0, &padded)?;
                Ok((buffer, 0))
            }
        }
    }
}
