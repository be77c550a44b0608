//! One run at a time: a run holds a lock beside its state for as long as it lasts.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::error::{Error, StateError};
use crate::staged::lock_path;

/// How often a lock is tried: whoever only looks whether it is held holds it for a moment.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(10);

/// The lock of one run, for the life of this value. The system releases it when the process ends,
/// however it ends; a file that a killed process left locks nothing.
#[derive(Debug)]
pub struct RunLock {
    /// `None` where locks cannot be had: on file systems without them, or without room.
    held: Option<(File, PathBuf)>,
}

impl RunLock {
    /// Takes the lock of the run that keeps its state in `state`, which need not exist.
    ///
    /// # Errors
    /// [`StateError::Busy`] while another run has it, in this process or another.
    pub fn take(state: &Path) -> Result<Self, Error> {
        let path = lock_path(state);
        let mut tries = 0;
        loop {
            let mut options = File::options();
            let Ok(file) = options.write(true).create(true).truncate(false).open(&path) else {
                return Ok(Self { held: None });
            };
            match file.try_lock() {
                Ok(()) if is_at(&file, &path) => {
                    return Ok(Self {
                        held: Some((file, path)),
                    });
                }
                // The run that had it took the file away when it ended.
                Ok(()) => {}
                Err(TryLockError::WouldBlock) if tries == TRIES => {
                    let path = state.to_owned();
                    return Err(StateError::Busy { path }.into());
                }
                Err(TryLockError::WouldBlock) => {
                    tries += 1;
                    thread::sleep(PAUSE);
                }
                Err(TryLockError::Error(_)) => {
                    let _ = fs::remove_file(&path);
                    return Ok(Self { held: None });
                }
            }
        }
    }

    /// Whether a run that keeps its state in `state` is going on.
    pub fn is_held(state: &Path) -> bool {
        let Ok(file) = File::open(lock_path(state)) else {
            return false;
        };
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }

    /// Whether this is the lock of that state.
    pub(super) fn is_of(&self, state: &Path) -> bool {
        let whole = |path: &Path| fs::canonicalize(path).ok();
        match &self.held {
            Some((_, path)) => whole(path).is_some_and(|own| whole(&lock_path(state)) == Some(own)),
            None => false,
        }
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        if let Some((_, path)) = &self.held {
            // While it is still locked. Left behind, it would lock nothing.
            let _ = fs::remove_file(path);
        }
    }
}

/// Whether the file at `path` is this one.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |found: fs::Metadata| (found.dev(), found.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(own), Ok(there)) => id(own) == id(there),
        _ => false,
    }
}

/// Whether the file at `path` is this one; here only whether there is one.
#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("a.kinora-state");
        let files = || fs::read_dir(folder.path()).unwrap().count();
        // What a killed process left.
        fs::write(lock_path(&state), "").unwrap();
        assert!(!RunLock::is_held(&state));
        let lock = RunLock::take(&state).unwrap();
        assert!(RunLock::is_held(&state) && lock.is_of(&state));
        let other = folder.path().join("b.kinora-state");
        assert!(!lock.is_of(&other) && !RunLock::is_held(&other));
        let error = RunLock::take(&state).unwrap_err();
        assert!(error.to_string().contains("a.kinora-state"), "{error}");
        drop(RunLock::take(&other).unwrap());
        assert_eq!(files(), 1);
        drop(lock);
        assert_eq!(files(), 0);
    }

    #[test]
    fn runs_that_follow_each_other_never_meet() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("a.kinora-state");
        let running = std::sync::atomic::AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let Ok(_lock) = RunLock::take(&state) else {
                            continue;
                        };
                        use std::sync::atomic::Ordering::SeqCst;
                        assert_eq!(running.fetch_add(1, SeqCst), 0);
                        running.fetch_sub(1, SeqCst);
                    }
                });
            }
        });
    }
}
