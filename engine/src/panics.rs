//! Panics of libraries that become errors.
//!
//! wgpu panics where a lost device is waited for, the tokenizers library over files that are not
//! what they should be.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    /// Whether a panic of this thread is about to become an error.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Has panics that become errors print nothing; others are reported as before. For programs: a
/// library leaves the process's hook alone.
pub fn keep_caught_panics_quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !GUARDED.get() {
                before(info);
            }
        }));
    });
}

/// Runs what may panic; the panic's last line is its error.
pub(crate) fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    let before = GUARDED.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(run));
    GUARDED.set(before);
    result.map_err(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        let mut lines = text.unwrap_or_default().lines().map(str::trim);
        let last = lines.rfind(|line| !line.is_empty());
        last.unwrap_or("no reason given").to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_last_line() {
        keep_caught_panics_quiet();
        let text = "Error in Device::poll: Validation Error\n\nCaused by:\n  Device is lost\n";
        let run = || -> u8 { panic::panic_any(text.to_owned()) };
        assert_eq!(guarded(run), Err("Device is lost".to_owned()));
        assert_eq!(guarded(|| 7), Ok(7));
        assert!(!GUARDED.get());
    }
}
