//! Uploads through chunks of mapped memory: the host fills a chunk, the queue copies it in order,
//! and the chunk is mapped again when the copy is done.
//!
//! The chunks count as device memory; the memory that `wgpu::Queue::write_buffer` takes would not.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Buffer, Gpu};
use crate::error::GpuError;

/// Bytes of a chunk, at most.
const CHUNK: u64 = 8 << 20;
/// Mapped offsets are multiples of this.
const ALIGNMENT: u64 = 8;

/// Bytes of device memory that every open device holds for uploads.
pub const STAGING_BYTES: u64 = 2 * CHUNK;

/// How many chunks hold `bytes`, and the bytes of each.
fn cut(bytes: u64) -> (u64, u64) {
    let each = bytes.clamp(64, CHUNK).next_multiple_of(ALIGNMENT);
    (bytes.div_ceil(each).max(1), each)
}

/// Bytes of device memory that staging of `bytes` takes.
pub(crate) fn staged(bytes: u64) -> u64 {
    let (count, each) = cut(bytes);
    count * each
}

/// A set of chunks; free ones are mapped.
#[derive(Debug)]
pub(super) struct StagingChunks {
    buffers: Vec<Buffer>,
    freed: Sender<usize>,
    free: Mutex<Receiver<usize>>,
    each: u64,
}

/// A copy out of a chunk.
#[derive(Debug)]
struct ChunkCopy {
    from: u64,
    bytes: u64,
    to: (Buffer, u64),
}

/// A chunk and the copies to make from it.
#[derive(Debug)]
pub(super) struct Filled {
    chunk: usize,
    copies: Vec<ChunkCopy>,
    end: u64,
}

impl StagingChunks {
    /// Creates chunks of `bytes` in total.
    ///
    /// # Errors
    /// No room on the device.
    pub(super) fn new(gpu: &Gpu, bytes: u64) -> Result<Self, GpuError> {
        let (count, each) = cut(bytes);
        let (freed, free) = channel();
        let mut buffers = Vec::new();
        for chunk in 0..count as usize {
            buffers.push(gpu.mapped_buffer("staging", each)?);
            // The receiver is alive here, so this cannot fail.
            let _ = freed.send(chunk);
        }
        Ok(Self {
            buffers,
            freed,
            free: Mutex::new(free),
            each,
        })
    }

    /// Takes a chunk if one is free now.
    pub(super) fn try_take(&self) -> Option<usize> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.try_recv().ok()
    }

    /// Takes a chunk, waiting up to `time` for one to become free.
    pub(super) fn take_within(&self, time: Duration) -> Result<usize, RecvTimeoutError> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.recv_timeout(time)
    }

    /// Appends bytes for `buffer` to the open chunk and, when that is full, to further ones: `next`
    /// returns a free chunk, `full` receives each full one.
    pub(super) fn append(
        &self,
        open: &mut Option<Filled>,
        (buffer, offset): (&Buffer, u64),
        bytes: &[u8],
        next: &mut dyn FnMut() -> Result<usize, GpuError>,
        full: &mut dyn FnMut(Filled) -> Result<(), GpuError>,
    ) -> Result<(), GpuError> {
        let mut done = 0;
        while done < bytes.len() {
            let filled = match open {
                Some(filled) => filled,
                None => open.insert(Filled {
                    chunk: next()?,
                    copies: Vec::new(),
                    end: 0,
                }),
            };
            let from = filled.end.next_multiple_of(ALIGNMENT);
            let room = self.each.saturating_sub(from) as usize;
            let part = &bytes[done..bytes.len().min(done + room)];
            if !part.is_empty() {
                let padded = (part.len() as u64).next_multiple_of(4);
                self.fill(filled.chunk, from, part, padded)?;
                filled.copies.push(ChunkCopy {
                    from,
                    bytes: padded,
                    to: (buffer.clone(), offset + done as u64),
                });
                filled.end = from + padded;
                done += part.len();
            }
            if filled.end.next_multiple_of(ALIGNMENT) >= self.each
                && let Some(filled) = open.take()
            {
                full(filled)?;
            }
        }
        Ok(())
    }

    /// Copies bytes into a mapped chunk and pads them with zeros to `padded`.
    fn fill(&self, chunk: usize, at: u64, bytes: &[u8], padded: u64) -> Result<(), GpuError> {
        let raw = self.buffers[chunk].raw();
        let view = raw.get_mapped_range_mut(at..at + padded);
        let mut view = view.map_err(|e| GpuError::Failed {
            during: "an upload".into(),
            reason: e.to_string(),
        })?;
        view.slice(..bytes.len()).copy_from_slice(bytes);
        view.slice(bytes.len()..).fill(0);
        Ok(())
    }

    /// Unmaps filled chunks and encodes the copies from them.
    pub(super) fn encode(&self, gpu: &Gpu, filled: &[Filled]) -> wgpu::CommandBuffer {
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        for Filled { chunk, copies, .. } in filled {
            let chunk = self.buffers[*chunk].raw();
            chunk.unmap();
            for ChunkCopy { from, bytes, to } in copies {
                encoder.copy_buffer_to_buffer(chunk, *from, to.0.raw(), to.1, *bytes);
            }
        }
        encoder.finish()
    }

    /// Maps chunks again once their submitted copies are done, which frees them.
    pub(super) fn reuse(&self, filled: Vec<Filled>) {
        for Filled { chunk, .. } in filled {
            let freed = self.freed.clone();
            let raw = self.buffers[chunk].raw();
            raw.map_async(wgpu::MapMode::Write, .., move |_| {
                // A chunk that could not be mapped fails when it is filled.
                let _ = freed.send(chunk);
            });
        }
    }
}

/// Staging of ordinary uploads, which are submitted before the next commands.
#[derive(Debug)]
pub(super) struct StagingBelt {
    chunks: StagingChunks,
    state: Mutex<BeltState>,
}

#[derive(Debug, Default)]
struct BeltState {
    open: Option<Filled>,
    in_flight: VecDeque<wgpu::SubmissionIndex>,
}

impl StagingBelt {
    pub(super) fn new(gpu: &Gpu) -> Result<Self, GpuError> {
        Ok(Self {
            chunks: StagingChunks::new(gpu, STAGING_BYTES)?,
            state: Mutex::default(),
        })
    }

    pub(super) fn write(
        &self,
        gpu: &Gpu,
        to: (&Buffer, u64),
        bytes: &[u8],
    ) -> Result<(), GpuError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let BeltState { open, in_flight } = &mut *state;
        let waited = std::cell::RefCell::new(in_flight);
        let mut next = || loop {
            if let Some(chunk) = self.chunks.try_take() {
                return Ok(chunk);
            }
            gpu.poll(waited.borrow_mut().pop_front())?;
            gpu.check("an upload")?;
        };
        let mut full = |filled: Filled| {
            waited
                .borrow_mut()
                .push_back(self.submit(gpu, vec![filled], None));
            Ok(())
        };
        self.chunks.append(open, to, bytes, &mut next, &mut full)
    }

    /// Submits commands after all pending uploads.
    pub(super) fn submit_behind(
        &self,
        gpu: &Gpu,
        commands: Option<wgpu::CommandBuffer>,
    ) -> wgpu::SubmissionIndex {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.open.take() {
            None => gpu.queue().submit(commands),
            Some(filled) => {
                let index = self.submit(gpu, vec![filled], commands);
                state.in_flight.push_back(index.clone());
                index
            }
        }
    }

    fn submit(
        &self,
        gpu: &Gpu,
        filled: Vec<Filled>,
        commands: Option<wgpu::CommandBuffer>,
    ) -> wgpu::SubmissionIndex {
        let copies = self.chunks.encode(gpu, &filled);
        let index = gpu.queue().submit([copies].into_iter().chain(commands));
        self.chunks.reuse(filled);
        index
    }
}

/// The destination of [`Gpu::write`] on a thread that packs uploads for another thread to submit.
#[derive(Debug)]
pub(super) struct StagingWriter {
    pub(super) chunks: Arc<StagingChunks>,
    open: Mutex<Option<Filled>>,
    out: Mutex<Box<ChunkExchange>>,
}

/// How a [`StagingWriter`] obtains free chunks and passes on full ones.
pub(super) struct ChunkExchange {
    pub(super) next: Box<dyn FnMut() -> Result<usize, GpuError> + Send>,
    pub(super) full: Box<dyn FnMut(Filled) -> Result<(), GpuError> + Send>,
}

impl std::fmt::Debug for ChunkExchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChunkExchange")
    }
}

impl StagingWriter {
    pub(super) fn new(chunks: Arc<StagingChunks>, out: ChunkExchange) -> Self {
        Self {
            chunks,
            open: Mutex::default(),
            out: Mutex::new(Box::new(out)),
        }
    }

    pub(super) fn write(&self, to: (&Buffer, u64), bytes: &[u8]) -> Result<(), GpuError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let ChunkExchange { next, full } = &mut **out;
        self.chunks.append(&mut open, to, bytes, next, full)
    }

    /// Passes on the open chunk, full or not.
    pub(super) fn flush(&self) -> Result<(), GpuError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        match open.take() {
            Some(filled) => (out.full)(filled),
            None => Ok(()),
        }
    }
}
