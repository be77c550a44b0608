//! Writing a job's state to the disk while it runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::saved::{SavedRun, elsewhere, moved_from, state_path};
use crate::pipeline::{Event, Observer};
use crate::weights::{RunProgress, RunState};

/// Where a job keeps its state, and what an application adds to it. Whoever may have two runs of one
/// place takes a [`RunLock`](super::RunLock) first, as a [`Target`](super::Target) does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Keep {
    /// The state's file.
    pub path: PathBuf,
    /// Entries of the application's own; their keys begin with `run_`.
    pub entries: BTreeMap<String, String>,
    /// Whether the state stays when the clip is whole, until [`Job::forget`](super::Job::forget):
    /// where it stands for further clips of the same command.
    pub stays: bool,
}

impl Keep {
    /// The state beside a clip, which goes when the clip is whole.
    pub fn beside(clip: &Path) -> Self {
        Self {
            path: state_path(clip),
            ..Self::default()
        }
    }
}

/// Keeps a run on the disk until its clip is whole.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) metadata: BTreeMap<String, String>,
    /// Where the state belongs.
    place: PathBuf,
    /// The file of the last state that was written.
    kept: Option<PathBuf>,
    /// Whether steps would be lost with it.
    has_steps: bool,
    /// Whether the observer already knows that no state can be written.
    said: bool,
}

impl Keeper {
    pub(super) fn new(place: &Path, metadata: BTreeMap<String, String>) -> Self {
        Self {
            metadata,
            place: place.to_owned(),
            kept: None,
            has_steps: false,
            said: false,
        }
    }

    /// Takes over the state that the run resumes from.
    pub(super) fn found(&mut self, found: &SavedRun) {
        self.kept = Some(found.path.clone());
        self.has_steps = found.has_steps();
    }

    /// The last state on the disk, and whether it has steps.
    pub(super) fn kept(&self) -> Option<(&Path, bool)> {
        let path = self.kept.as_deref()?;
        Some((path, self.has_steps))
    }

    /// Replaces the state on the disk. If its own place cannot be written, the folder of temporary
    /// files is used; if neither can be, the run continues and reports that once.
    pub(super) fn keep(&mut self, progress: RunProgress, observer: Observer<'_>) {
        let has_steps = progress != RunProgress::Nothing;
        let mut state = RunState {
            progress,
            metadata: self.metadata.clone(),
        };
        let reason = match state.write(&self.place) {
            Ok(()) => return self.written(self.place.clone(), has_steps, observer),
            Err(error) => error.to_string(),
        };
        let other = self.kept.clone().filter(|kept| *kept != self.place);
        let known = other.is_some();
        let other = other.or_else(|| free_in_temporary(&self.place));
        state.metadata.extend(moved_from(&self.place));
        match other.filter(|path| state.write(path).is_ok()) {
            Some(path) => {
                if !known {
                    observer(Event::NotSaved {
                        reason,
                        instead: Some(path.clone()),
                        has_steps,
                    });
                }
                self.written(path, has_steps, observer);
            }
            None if !self.said => {
                self.said = true;
                observer(Event::NotSaved {
                    reason,
                    instead: None,
                    has_steps: self.has_steps,
                });
            }
            None => {}
        }
    }

    fn written(&mut self, path: PathBuf, has_steps: bool, observer: Observer<'_>) {
        if let Some(old) = self.kept.replace(path.clone())
            && old != path
        {
            // The new state supersedes the old one.
            let _ = RunState::remove(old);
        }
        self.has_steps = has_steps;
        observer(Event::Saved { path, has_steps });
    }

    /// The clip is whole, or nothing is worth keeping: removes the state.
    pub(super) fn remove(&mut self) {
        if let Some(path) = self.kept.take() {
            // A leftover state does no harm, so failing to remove it is no error.
            let _ = RunState::remove(path);
            for older in elsewhere(&self.place) {
                let _ = RunState::remove(older);
            }
        }
    }

    /// The run ends early: removes a state without steps.
    pub(super) fn remove_if_empty(&mut self) {
        if !self.has_steps {
            self.remove();
        }
    }
}

/// A free file name in the folder of temporary files, derived from this name.
fn free_in_temporary(place: &Path) -> Option<PathBuf> {
    let folder = std::env::temp_dir();
    let stem = place.file_stem()?.to_string_lossy().into_owned();
    let extension = place.extension()?.to_string_lossy().into_owned();
    let names = (1..10_000).map(|n| match n {
        1 => format!("{stem}.{extension}"),
        n => format!("{stem}-{n}.{extension}"),
    });
    names
        .map(|name| folder.join(name))
        .find(|path| path.symlink_metadata().is_err())
}
