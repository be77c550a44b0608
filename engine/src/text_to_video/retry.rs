//! Once more, with less: what a run does when its device is lost or has no room.

use std::sync::{Arc, PoisonError};

use super::engine::{Engine, Event, Reduced};
use super::request::{Note, Settings};
use crate::error::{Error, GpuError, RequestError, VaeError};
use crate::gpu::STAGING_BYTES;
use crate::weights::Latents;

/// What is tried again, and what it takes within an engine's budget.
pub(super) enum Task<'t> {
    Sample(&'t Settings),
    Decode(&'t Latents),
}

impl Task<'_> {
    /// Bytes of device memory, as planned.
    fn bytes(&self, engine: &Engine) -> Result<u64, Error> {
        match self {
            Self::Sample(settings) => engine.sampling_bytes(settings),
            Self::Decode(latents) => engine.decode_bytes(latents),
        }
    }

    /// What it may take now, where that is less than before.
    fn budget(&self, engine: &Engine) -> Option<u64> {
        match self {
            Self::Sample(_) => engine.reduced.sampling,
            Self::Decode(_) => engine.reduced.decoding,
        }
    }

    /// So many bytes for it, and for the other half of a run what it had.
    fn reduced(&self, before: Reduced, bytes: u64) -> Reduced {
        match self {
            Self::Sample(_) => Reduced {
                sampling: Some(bytes),
                ..before
            },
            Self::Decode(_) => Reduced {
                decoding: Some(bytes),
                ..before
            },
        }
    }
}

/// Bytes of device memory that a run took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryTaken {
    /// At most.
    pub peak: u64,
    /// As planned.
    pub planned: u64,
}

/// What was made last of either half of a run, and the bytes that it took.
#[derive(Debug, Default)]
pub(super) struct Taken {
    sampling: Option<(Settings, u64)>,
    decoding: Option<([usize; 5], u64)>,
}

/// The bytes that a part would need at the least, where it does not fit.
fn needed(error: &Error) -> Option<u64> {
    match error {
        Error::Request(RequestError::Memory { needed, .. }) => Some(*needed),
        Error::Vae(VaeError::DoesNotFit { needed, .. }) => Some(needed + STAGING_BYTES),
        _ => None,
    }
}

/// Does the task on an engine that may be another than the one that was asked.
type Attempt<'a, T> = &'a mut dyn FnMut(&Engine, &mut dyn FnMut(Event)) -> Result<T, Error>;

impl Engine {
    /// Runs `attempt`; where the device is lost or has no room, once more: on the device opened
    /// anew, where it was lost, and with half the memory, where the task can be cut so. The engine
    /// keeps to that from then on.
    pub(super) fn with_retry<T>(
        &self,
        task: &Task<'_>,
        events: &mut dyn FnMut(Event),
        attempt: Attempt<'_, T>,
    ) -> Result<T, Error> {
        let retreated = self.retreated();
        let engine = retreated.as_deref().unwrap_or(self);
        let error = match engine.attempted(task, events, attempt) {
            Ok(done) => return Ok(done),
            Err(error) => engine.cause(error),
        };
        let Some(smaller) = engine.retreat(task, &error) else {
            return Err(error);
        };
        let smaller = Arc::new(smaller);
        events(Event::Note(Note::OnceMore {
            reason: error.to_string(),
            budget: task.budget(&smaller),
        }));
        self.set_retreated(smaller.clone());
        let done = smaller.attempted(task, events, attempt);
        done.map_err(|error| smaller.cause(error))
    }

    /// One attempt, which is remembered where it made what was asked.
    fn attempted<T>(
        &self,
        task: &Task<'_>,
        events: &mut dyn FnMut(Event),
        attempt: Attempt<'_, T>,
    ) -> Result<T, Error> {
        self.gpu.watch_memory();
        let done = attempt(self, events)?;
        let peak = self.gpu.watched_memory();
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match task {
            Task::Sample(settings) => taken.sampling = Some(((*settings).clone(), peak)),
            Task::Decode(latents) => taken.decoding = Some((latents.shape, peak)),
        }
        Ok(done)
    }

    /// What the last run took on the device and what was planned for it; nothing where there was
    /// none. Of halves of a run that were tried once more, what the attempt took that made them.
    ///
    /// # Errors
    /// As [`MemoryPlan::new`](super::MemoryPlan::new).
    pub fn memory_taken(&self) -> Result<Option<MemoryTaken>, Error> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let retreated = self.retreated();
        let engine = retreated.as_deref().unwrap_or(self);
        let mut halves = Vec::new();
        if let Some((settings, peak)) = &taken.sampling {
            let planned = engine.sampling_bytes(settings)?;
            halves.push(MemoryTaken {
                peak: *peak,
                planned,
            });
        }
        if let Some((shape, peak)) = taken.decoding {
            let planned = engine.decode_bytes_of(shape)?;
            halves.push(MemoryTaken { peak, planned });
        }
        Ok(halves.into_iter().reduce(|a, b| MemoryTaken {
            peak: a.peak.max(b.peak),
            planned: a.planned.max(b.planned),
        }))
    }

    /// The error, told as the loss of the device where it was lost: whatever fails then fails for
    /// that.
    fn cause(&self, error: Error) -> Error {
        match error {
            Error::Gpu(GpuError::Failed { during, reason }) if self.gpu.is_lost() => {
                GpuError::Lost { during, reason }.into()
            }
            error => error,
        }
    }

    /// An engine that may do what this one could not.
    fn retreat(&self, task: &Task<'_>, error: &Error) -> Option<Self> {
        let Error::Gpu(gpu) = error else { return None };
        let gpu = match gpu {
            GpuError::Lost { .. } => self.gpu.reopen().ok()?,
            GpuError::OutOfMemory { .. } | GpuError::Exhausted { .. } => {
                // What was made is freed when the device is done with it.
                self.gpu.wait().ok()?;
                self.gpu.clone()
            }
            _ => return None,
        };
        let is_lost = !self.gpu.is(&gpu);
        let planned = task.bytes(self).ok()?;
        let mut budget = planned / 2;
        // Of several parts each says what it needs when its turn comes.
        while budget < planned {
            let smaller = self.on(gpu.clone(), task.reduced(self.reduced, budget));
            match task.bytes(&smaller) {
                Ok(_) => return Some(smaller),
                Err(error) => match needed(&error) {
                    Some(needed) if needed > budget => budget = needed,
                    _ => break,
                },
            }
        }
        // Nothing can be cut further, but a device that is back may do.
        is_lost.then(|| self.on(gpu, self.reduced))
    }
}
