//! Ctrl-C and its kin: the first asks the run to stop, the second ends the program.

use kinora::gpu::Cancel;

use crate::error::{CliError, INTERRUPTED};

/// Listens for interrupts; the flag is set at the first.
///
/// Whenever the second comes, no file with a final name is half written.
pub(crate) fn listen() -> Result<Cancel, CliError> {
    let cancel = Cancel::new();
    let flag = cancel.clone();
    let handler = move || {
        if flag.is_cancelled() {
            std::process::exit(i32::from(INTERRUPTED));
        }
        flag.cancel();
    };
    ctrlc::set_handler(handler).map_err(|e| CliError::Signals {
        reason: e.to_string(),
    })?;
    Ok(cancel)
}
