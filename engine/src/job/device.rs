//! The device that the runs of an engine share. Where it is lost or has no room, it is opened anew
//! or given less to do, for the run at hand and those that follow.

use std::sync::{Mutex, PoisonError};

use crate::error::{Error, GpuError, RequestError, VaeError};
use crate::gpu::{Gpu, STAGING_BYTES};
use crate::pipeline::{Budgets, Event, Observer};
use crate::request::Note;

/// Bytes of device memory that a run took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryTaken {
    /// At most.
    pub peak: u64,
    /// As planned.
    pub planned: u64,
}

impl MemoryTaken {
    /// Of two halves of a run that take turns.
    pub(super) fn with(self, other: Self) -> Self {
        Self {
            peak: self.peak.max(other.peak),
            planned: self.planned.max(other.planned),
        }
    }
}

/// A half of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    Sampling,
    Decoding,
}

/// Does a half of a run on a device within a budget.
type Attempt<'a, T> = &'a mut dyn FnMut(&Gpu, Option<u64>, Observer<'_>) -> Result<T, Error>;

/// The device and what either half of a run may take of it.
#[derive(Debug)]
pub(super) struct Device(Mutex<(Gpu, Budgets)>);

impl Device {
    pub(super) fn new(gpu: Gpu, budget: Option<u64>) -> Self {
        let budgets = Budgets {
            sampling: budget,
            decoding: budget,
        };
        Self(Mutex::new((gpu, budgets)))
    }

    /// The device as it is now.
    pub(super) fn gpu(&self) -> Gpu {
        self.now().0
    }

    fn now(&self) -> (Gpu, Budgets) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What a half may take now.
    pub(super) fn budget(&self, half: Half) -> Option<u64> {
        let (_, budgets) = self.now();
        match half {
            Half::Sampling => budgets.sampling,
            Half::Decoding => budgets.decoding,
        }
    }

    fn set(&self, gpu: Gpu, half: Half, budget: Option<u64>) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        now.0 = gpu;
        match half {
            Half::Sampling => now.1.sampling = budget,
            Half::Decoding => now.1.decoding = budget,
        }
    }

    /// Runs `attempt` with the device and a budget; where the device is lost or has no room, once
    /// more: on the device opened anew, where it was lost, and with half the memory, where the task
    /// can be cut so. `planned` says what the task takes within a budget.
    pub(super) fn with_retry<T>(
        &self,
        half: Half,
        planned: &dyn Fn(Option<u64>) -> Result<u64, Error>,
        observer: Observer<'_>,
        attempt: Attempt<'_, T>,
    ) -> Result<(T, MemoryTaken), Error> {
        let mut once = |observer: Observer<'_>| {
            let (gpu, budget) = (self.gpu(), self.budget(half));
            let taken = |peak| -> Result<MemoryTaken, Error> {
                let planned = planned(budget)?;
                Ok(MemoryTaken { peak, planned })
            };
            gpu.watch_memory();
            match attempt(&gpu, budget, observer) {
                Ok(done) => Ok((done, taken(gpu.watched_memory())?)),
                Err(error) => Err(cause(&gpu, error)),
            }
        };
        let error = match once(observer) {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        if !self.retreat(half, planned, &error) {
            return Err(error);
        }
        observer(Event::Note(Note::Retrying {
            reason: error.to_string(),
            budget: self.budget(half),
        }));
        once(observer)
    }

    /// Makes what failed possible, if anything can: the device opened anew, or a smaller budget.
    fn retreat(
        &self,
        half: Half,
        planned: &dyn Fn(Option<u64>) -> Result<u64, Error>,
        error: &Error,
    ) -> bool {
        let Error::Gpu(error) = error else {
            return false;
        };
        let (gpu, before) = (self.gpu(), self.budget(half));
        let fresh = match error {
            GpuError::Lost { .. } => match gpu.reopen() {
                Ok(fresh) => fresh,
                Err(_) => return false,
            },
            // What was made is freed when the device is done with it.
            GpuError::OutOfMemory { .. } | GpuError::Exhausted { .. } => match gpu.wait() {
                Ok(()) => gpu.clone(),
                Err(_) => return false,
            },
            _ => return false,
        };
        let lost = !gpu.is(&fresh);
        let Ok(bytes) = planned(before) else {
            return false;
        };
        let mut budget = bytes / 2;
        // Of several parts each says what it needs when its turn comes.
        while budget < bytes {
            match planned(Some(budget)) {
                Ok(_) => {
                    self.set(fresh, half, Some(budget));
                    return true;
                }
                Err(error) => match needed(&error) {
                    Some(needed) if needed > budget => budget = needed,
                    _ => break,
                },
            }
        }
        // Nothing can be cut further, but a device that is back may do.
        if lost {
            self.set(fresh, half, before);
        }
        lost
    }
}

/// The bytes that a part would need at the least, where it does not fit.
fn needed(error: &Error) -> Option<u64> {
    match error {
        Error::Request(RequestError::Memory { needed, .. }) => Some(*needed),
        Error::Vae(VaeError::DoesNotFit { needed, .. }) => Some(needed + STAGING_BYTES),
        _ => None,
    }
}

/// Reports any failure on a lost device as its loss.
fn cause(gpu: &Gpu, error: Error) -> Error {
    match error {
        Error::Gpu(GpuError::Failed { during, reason }) if gpu.is_lost() => {
            GpuError::Lost { during, reason }.into()
        }
        error => error,
    }
}
