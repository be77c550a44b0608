//! Errors that the driver reports, and lost devices.
//!
//! wgpu reports errors and a lost device through callbacks only, and panics when a program waits for
//! a lost device. This module turns all of these into a [`GpuError`].

use std::sync::{Arc, Mutex, PoisonError};

use super::Gpu;
use crate::error::GpuError;
use crate::panics::guarded;

/// The kind of a driver error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Lost,
    OutOfMemory,
    Other,
}

/// A driver error.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    pub(super) reason: String,
}

/// The first unreported driver error. Loss of the device replaces other errors and is sticky.
#[derive(Clone, Debug, Default)]
pub(super) struct Failures(Arc<Mutex<Option<Failure>>>);

impl Failures {
    /// Registers the device's error callbacks.
    pub(super) fn listen(device: &wgpu::Device) -> Self {
        let this = Self::default();
        let errors = this.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            let kind = match error {
                wgpu::Error::OutOfMemory { .. } => Kind::OutOfMemory,
                _ => Kind::Other,
            };
            errors.add(kind, error.to_string());
        }));
        let lost = this.clone();
        device.set_device_lost_callback(move |reason, message| {
            let reason = match reason {
                wgpu::DeviceLostReason::Destroyed => "it was taken away".to_owned(),
                wgpu::DeviceLostReason::Unknown if message.is_empty() => "no reason given".into(),
                wgpu::DeviceLostReason::Unknown => message,
            };
            lost.add(Kind::Lost, reason);
        });
        this
    }

    fn add(&self, kind: Kind, reason: String) {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_lost = first.as_ref().is_some_and(|f| f.kind == Kind::Lost);
        if first.is_none() || (kind == Kind::Lost && !is_lost) {
            *first = Some(Failure { kind, reason });
        }
    }

    fn take(&self) -> Option<Failure> {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*first {
            Some(failure) if failure.kind == Kind::Lost => Some(failure.clone()),
            _ => first.take(),
        }
    }
}

impl Gpu {
    /// The first error that the driver reported since the last call.
    pub(super) fn take_failure(&self) -> Option<Failure> {
        self.failures().take()
    }

    /// Fails if the driver reported an error since the last check.
    pub(super) fn check(&self, during: &str) -> Result<(), GpuError> {
        match self.take_failure() {
            None => Ok(()),
            Some(failure) => Err(self.failed(failure, during)),
        }
    }

    pub(super) fn failed(&self, failure: Failure, during: &str) -> GpuError {
        let (during, reason) = (during.to_owned(), failure.reason);
        match failure.kind {
            Kind::Lost => GpuError::Lost { during, reason },
            Kind::OutOfMemory => GpuError::Exhausted {
                during,
                used: self.memory().current,
            },
            Kind::Other => GpuError::Failed { during, reason },
        }
    }

    /// Polls the device, waiting as `poll` requests.
    pub(super) fn polled(&self, poll: wgpu::PollType, during: &str) -> Result<(), GpuError> {
        let reason = match guarded(|| self.device().poll(poll)) {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(panic) => {
                self.failures().add(Kind::Lost, panic.clone());
                panic
            }
        };
        // A lost device fails the same way; report the loss if that is the cause.
        if self.is_lost() {
            self.check(during)
        } else {
            Err(GpuError::Failed {
                during: during.to_owned(),
                reason,
            })
        }
    }

    /// Whether the device is lost, with everything created on it.
    pub fn is_lost(&self) -> bool {
        if let Err(panic) = guarded(|| self.device().poll(wgpu::PollType::Poll)) {
            self.failures().add(Kind::Lost, panic);
        }
        let first = self.failures().0.lock();
        let first = first.unwrap_or_else(PoisonError::into_inner);
        first.as_ref().is_some_and(|f| f.kind == Kind::Lost)
    }

    /// Opens the same device again after it was lost.
    ///
    /// # Errors
    /// As [`Gpu::open`]; [`GpuError::Lost`] for a device that the host application opened.
    pub(crate) fn reopen(&self) -> Result<Self, GpuError> {
        match self.opened_with() {
            Some(options) => Self::open(options),
            None => Err(GpuError::Lost {
                during: "opening the device anew".to_owned(),
                reason: "it is the host application's".to_owned(),
            }),
        }
    }
}

#[cfg(feature = "testing")]
impl Gpu {
    /// Loses the device, as a driver reset or a pulled plug does, for tests. Every later use fails
    /// with [`GpuError::Lost`].
    pub fn pull_away(&self) {
        self.device().destroy();
    }

    /// Refuses buffers beyond this many bytes in total, like a device with less memory, for tests.
    pub fn pretend_memory(&self, bytes: u64) {
        self.counter().limit(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_device_stays_lost() {
        let failures = Failures::default();
        failures.add(Kind::Other, "first".into());
        failures.add(Kind::OutOfMemory, "second".into());
        assert_eq!(failures.take().unwrap().reason, "first");
        assert!(failures.take().is_none());
        failures.add(Kind::Other, "first".into());
        failures.add(Kind::Lost, "gone".into());
        for _ in 0..2 {
            assert_eq!(failures.take().unwrap().reason, "gone");
        }
    }
}
