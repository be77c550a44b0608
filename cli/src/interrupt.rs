//! Ctrl-C and its kin: the first asks the run to stop, the second ends the program.

use std::io::{self, Write};
use std::process;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use kinora::gpu::Cancel;

use crate::error::{CliError, INTERRUPTED};

/// How long the first interrupt waits for the run to stop by itself. It stops between two submits,
/// which are shorter; a driver that compiles or a disk that loads may take longer.
const GRACE: Duration = Duration::from_secs(3);

/// Whether the run was asked to stop, and what to say should it have to be cut off.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt {
    cancel: Cancel,
    parting: Arc<Mutex<Option<String>>>,
}

impl Interrupt {
    /// Listens for SIGINT, SIGTERM and, unless the program was started to ignore it, SIGHUP. The clips
    /// of one command share what listens.
    pub(crate) fn listen() -> Result<Self, CliError> {
        static LISTENING: OnceLock<Interrupt> = OnceLock::new();
        if let Some(interrupt) = LISTENING.get() {
            return Ok(interrupt.clone());
        }
        let interrupt = Self::default();
        let first = interrupt.clone();
        let handler = move || {
            if first.cancel.is_cancelled() {
                process::exit(INTERRUPTED.into());
            }
            first.cancel.cancel();
            let waiting = first.clone();
            thread::spawn(move || waiting.cut_off());
        };
        let failed = |e: ctrlc::Error| CliError::Signals {
            reason: e.to_string(),
        };
        hangup::kept_as_it_was(|| ctrlc::set_handler(handler)).map_err(failed)?;
        Ok(LISTENING.get_or_init(|| interrupt).clone())
    }

    /// The flag for the engine.
    pub(crate) fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// From here on nothing is lost when the program ends at once; it then says this.
    pub(crate) fn may_cut_off(&self, parting: &CliError) {
        *self.parting.lock().unwrap_or_else(PoisonError::into_inner) = Some(parting.to_string());
    }

    /// From here on the program ends by itself, as when a file is about to get its name.
    pub(crate) fn may_not_cut_off(&self) {
        *self.parting.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Ends a run that does not stop.
    fn cut_off(&self) {
        thread::sleep(GRACE);
        // Held to the end, so that what is said stays true.
        let parting = self.parting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(parting) = parting.as_ref() {
            // Nobody is left to be told where this fails.
            let _ = writeln!(io::stderr().lock(), "\n{parting}");
            process::exit(INTERRUPTED.into());
        }
    }
}

#[cfg(unix)]
mod hangup {
    use nix::sys::signal::{SigHandler, Signal, signal};

    /// Does `change`, which sets SIGHUP's handler, and undoes that where the signal was ignored: a
    /// run under nohup outlives its terminal.
    pub(super) fn kept_as_it_was<T>(change: impl FnOnce() -> T) -> T {
        let set = |handler| {
            #[expect(
                unsafe_code,
                reason = "no handler of ours: ignoring or the default are sound"
            )]
            unsafe {
                signal(Signal::SIGHUP, handler)
            }
        };
        let before = set(SigHandler::SigIgn);
        let changed = change();
        if matches!(before, Ok(SigHandler::SigIgn)) {
            // It worked a moment ago; where it does not, a hangup ends the run as Ctrl-C does.
            let _ = set(SigHandler::SigIgn);
        }
        changed
    }
}

#[cfg(not(unix))]
mod hangup {
    /// There is no such signal.
    pub(super) fn kept_as_it_was<T>(change: impl FnOnce() -> T) -> T {
        change()
    }
}
