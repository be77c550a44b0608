//! The device that the runs of an engine share. Where it is lost or has no room, it is opened anew
//! or given less to do, for the run at hand and those that follow.

use std::sync::{Mutex, PoisonError};

use crate::error::{Error, GpuError, RequestError, VaeError};
use crate::gpu::{Gpu, STAGING_BYTES};
use crate::pipeline::{Budgets, Event, Observer};
use crate::request::Note;

/// Device memory that a run used, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryTaken {
    /// The most that was in use at any time.
    pub peak: u64,
    /// The peak that the memory plan expected.
    pub planned: u64,
}

impl MemoryTaken {
    /// Joins the figures of two halves. The halves take turns, so the larger figure counts.
    pub(super) fn with(self, other: Self) -> Self {
        Self {
            peak: self.peak.max(other.peak),
            planned: self.planned.max(other.planned),
        }
    }
}

/// The two halves of a run, each with its own budget and its own retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    Sampling,
    Decoding,
}

/// Runs one half on a device within a budget.
type Attempt<'a, T> = &'a mut dyn FnMut(&Gpu, Option<u64>, Observer<'_>) -> Result<T, Error>;

/// The device, and how much of its memory each half of a run may use.
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

    /// The current device: another one once a lost device was reopened.
    pub(super) fn gpu(&self) -> Gpu {
        self.now().0
    }

    fn now(&self) -> (Gpu, Budgets) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Bytes that a half may use now; less after a retry.
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

    /// Runs `attempt` with the device and a budget, and retries once if the device is lost or out of
    /// memory. The retry uses a lost device that was reopened, and half the memory if the task can be
    /// planned within it. `planned` returns the bytes that the task takes within a budget.
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

    /// Prepares the retry: reopens a lost device and lowers the budget. Returns `false` if a retry
    /// could not succeed.
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
            // The device frees the failed attempt's buffers once it is idle.
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
        // Planning stops at the first part that does not fit, so each part raises the budget in turn.
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
        // The plan cannot shrink, but a reopened device may succeed with the same budget.
        if lost {
            self.set(fresh, half, before);
        }
        lost
    }
}

/// The fewest bytes that a part needs, if the error says that it does not fit.
fn needed(error: &Error) -> Option<u64> {
    match error {
        Error::Request(RequestError::Memory { needed, .. }) => Some(*needed),
        Error::Vae(VaeError::DoesNotFit { needed, .. }) => Some(needed + STAGING_BYTES),
        _ => None,
    }
}

/// Reports any failure on a lost device as [`GpuError::Lost`].
fn cause(gpu: &Gpu, error: Error) -> Error {
    match error {
        Error::Gpu(GpuError::Failed { during, reason }) if gpu.is_lost() => {
            GpuError::Lost { during, reason }.into()
        }
        error => error,
    }
}
