//! The device's clock, read at the start and end of compute passes.

use super::Gpu;
use crate::error::GpuError;

/// Passes of one submit that can be timed.
const PASSES: u32 = 512;

/// Timestamps of the passes of one submit.
#[derive(Debug)]
pub(super) struct Timestamps {
    set: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    read: wgpu::Buffer,
    seconds_a_tick: f64,
    used: u32,
}

impl Timestamps {
    /// `None` on a device without such a clock.
    pub(super) fn new(gpu: &Gpu) -> Option<Self> {
        use wgpu::BufferUsages as Usage;
        let device = gpu.device();
        if !gpu.has_timestamps() {
            return None;
        }
        let bytes = u64::from(2 * PASSES) * 8;
        let buffer = |usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("timestamps"),
                size: bytes,
                usage,
                mapped_at_creation: false,
            })
        };
        Some(Self {
            set: device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timestamps"),
                ty: wgpu::QueryType::Timestamp,
                count: 2 * PASSES,
            }),
            resolved: buffer(Usage::QUERY_RESOLVE | Usage::COPY_SRC),
            read: buffer(Usage::MAP_READ | Usage::COPY_DST),
            seconds_a_tick: f64::from(gpu.queue().get_timestamp_period()) * 1e-9,
            used: 0,
        })
    }

    /// Whether the next pass must go into another submit.
    pub(super) fn is_full(&self) -> bool {
        self.used == PASSES
    }

    /// The timestamp writes of the next pass; callers check [`is_full`](Self::is_full) first.
    pub(super) fn next_pass(&mut self) -> wgpu::ComputePassTimestampWrites<'_> {
        let first = 2 * self.used;
        self.used += 1;
        wgpu::ComputePassTimestampWrites {
            query_set: &self.set,
            beginning_of_pass_write_index: Some(first),
            end_of_pass_write_index: Some(first + 1),
        }
    }

    /// Copies the times to host-readable memory at the end of the submit.
    pub(super) fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        if self.used > 0 {
            let count = 2 * self.used;
            encoder.resolve_query_set(&self.set, 0..count, &self.resolved, 0);
            let bytes = u64::from(count) * 8;
            encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.read, 0, bytes);
        }
    }

    /// Waits for all submitted work and returns the start and end of each pass since the last call, in
    /// seconds of the device's clock.
    pub(super) fn take(&mut self, gpu: &Gpu) -> Result<Vec<[f64; 2]>, GpuError> {
        if self.used == 0 {
            return Ok(Vec::new());
        }
        let bytes = u64::from(2 * self.used) * 8;
        self.used = 0;
        self.read.map_async(wgpu::MapMode::Read, 0..bytes, |_| {});
        gpu.wait()?;
        let failed = |e: wgpu::MapRangeError| GpuError::Failed {
            during: "reading timestamps".into(),
            reason: e.to_string(),
        };
        let view = self.read.get_mapped_range(0..bytes).map_err(failed)?;
        let tick = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes) as f64 * self.seconds_a_tick;
        let pairs = view.as_chunks::<8>().0.chunks_exact(2);
        let times = pairs.map(|pair| [tick(&pair[0]), tick(&pair[1])]).collect();
        drop(view);
        self.read.unmap();
        Ok(times)
    }
}
