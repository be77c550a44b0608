//! Creating buffers, writing to them and reading them back.

use super::lost::Kind;
use super::{Buffer, Gpu};
use crate::error::GpuError;

/// The largest staging buffer for reading results back, in bytes.
pub const READ_PIECE: u64 = 32 << 20;

impl Gpu {
    /// A storage buffer of zeros.
    ///
    /// # Errors
    /// Larger than the device allows, or no room for it.
    pub fn buffer(&self, label: &str, bytes: u64) -> Result<Buffer, GpuError> {
        use wgpu::BufferUsages as Usage;
        self.buffer_for(
            label,
            bytes,
            Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST,
        )
    }

    pub(super) fn buffer_for(
        &self,
        label: &str,
        bytes: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<Buffer, GpuError> {
        self.make(label, bytes, usage, false)
    }

    fn make(
        &self,
        label: &str,
        bytes: u64,
        usage: wgpu::BufferUsages,
        mapped_at_creation: bool,
    ) -> Result<Buffer, GpuError> {
        let bytes = bytes.next_multiple_of(4).max(4);
        let limit = self.caps().max_buffer_bytes;
        if bytes > limit {
            return Err(GpuError::BufferTooLarge {
                label: label.to_owned(),
                bytes,
                limit,
            });
        }
        self.check("earlier work")?;
        let descriptor = wgpu::BufferDescriptor {
            label: Some(label),
            size: bytes,
            usage,
            mapped_at_creation,
        };
        let out_of_memory = || GpuError::OutOfMemory {
            label: label.to_owned(),
            bytes,
            used: self.memory().current,
        };
        if !self.counter().has_room(bytes) {
            return Err(out_of_memory());
        }
        let raw = self.device().create_buffer(&descriptor);
        if let Some(failure) = self.take_failure() {
            return Err(match failure.kind {
                Kind::OutOfMemory => out_of_memory(),
                _ => self.failed(failure, &format!("making buffer `{label}`")),
            });
        }
        Ok(Buffer::new(raw, self.counter()))
    }

    /// A buffer for uploads, mapped.
    pub(super) fn mapped_buffer(&self, label: &str, bytes: u64) -> Result<Buffer, GpuError> {
        use wgpu::BufferUsages as Usage;
        self.make(label, bytes, Usage::MAP_WRITE | Usage::COPY_SRC, true)
    }

    /// Writes bytes at an offset, both multiples of four, before anything that is submitted later.
    /// Uploads of any size pass through [`STAGING_BYTES`](super::STAGING_BYTES) of device memory.
    ///
    /// # Errors
    /// The device failed.
    pub fn write(&self, buffer: &Buffer, offset: u64, bytes: &[u8]) -> Result<(), GpuError> {
        match (self.writer(), self.belt()) {
            (Some(writer), _) => writer.write((buffer, offset), bytes),
            (None, Some(belt)) => belt.write(self, (buffer, offset), bytes),
            (None, None) => Ok(()),
        }
    }

    /// Passes on the bytes that this handle's writer still holds, if it has one.
    pub(super) fn flush_writer(&self) -> Result<(), GpuError> {
        self.writer().map_or(Ok(()), |writer| writer.flush())
    }

    /// Submits commands after all pending uploads.
    pub(super) fn submit(&self, commands: Option<wgpu::CommandBuffer>) -> wgpu::SubmissionIndex {
        match self.belt() {
            Some(belt) => belt.submit_behind(self, commands),
            None => self.queue().submit(commands),
        }
    }

    /// Polls the device, waiting for `submission` if one is given.
    pub(super) fn poll(&self, submission: Option<wgpu::SubmissionIndex>) -> Result<(), GpuError> {
        let poll = wgpu::PollType::Wait {
            submission_index: submission,
            timeout: None,
        };
        self.polled(poll, "submitted work")
    }

    /// Polls the device without waiting.
    pub(super) fn poll_once(&self) -> Result<(), GpuError> {
        self.polled(wgpu::PollType::Poll, "submitted work")
    }

    /// Fills a buffer with zeros, in order with other submits.
    ///
    /// # Errors
    /// The device failed.
    pub fn clear(&self, buffer: &Buffer) -> Result<(), GpuError> {
        let mut encoder = self.device().create_command_encoder(&Default::default());
        encoder.clear_buffer(buffer.raw(), 0, None);
        self.submit(Some(encoder.finish()));
        self.check("clearing a buffer")
    }

    /// A staging buffer for reading results back.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub fn staging(&self, bytes: u64) -> Result<Buffer, GpuError> {
        use wgpu::BufferUsages as Usage;
        self.buffer_for("read back", bytes, Usage::MAP_READ | Usage::COPY_DST)
    }

    /// Waits for all submitted work and reads bytes back.
    ///
    /// # Errors
    /// The device failed.
    pub fn read(&self, buffer: &Buffer, range: std::ops::Range<u64>) -> Result<Vec<u8>, GpuError> {
        match (range.end - range.start).min(READ_PIECE) {
            0 => Ok(Vec::new()),
            longest => self.read_through(&self.staging(longest)?, buffer, range),
        }
    }

    /// Like [`Gpu::read`], in parts that fit a buffer from [`Gpu::staging`].
    ///
    /// # Errors
    /// The device failed.
    pub fn read_through(
        &self,
        staging: &Buffer,
        buffer: &Buffer,
        range: std::ops::Range<u64>,
    ) -> Result<Vec<u8>, GpuError> {
        let mut out = Vec::with_capacity((range.end - range.start) as usize);
        let mut at = range.start;
        while at < range.end {
            let bytes = (range.end - at).min(staging.size());
            let padded = bytes.next_multiple_of(4);
            let mut encoder = self.device().create_command_encoder(&Default::default());
            encoder.copy_buffer_to_buffer(buffer.raw(), at, staging.raw(), 0, padded);
            self.submit(Some(encoder.finish()));
            staging
                .raw()
                .map_async(wgpu::MapMode::Read, 0..padded, |_| {});
            self.wait()?;
            let view = staging
                .raw()
                .get_mapped_range(0..padded)
                .map_err(|e| GpuError::Failed {
                    during: "reading back".into(),
                    reason: e.to_string(),
                })?;
            out.extend_from_slice(&view[..bytes as usize]);
            drop(view);
            staging.raw().unmap();
            at += bytes;
        }
        Ok(out)
    }

    /// Waits for all submitted work.
    ///
    /// # Errors
    /// The device failed.
    pub fn wait(&self) -> Result<(), GpuError> {
        let polled = self.poll(Some(self.submit(None)));
        self.check("submitted work")?;
        polled
    }
}
