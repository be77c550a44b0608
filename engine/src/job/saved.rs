//! Runs on the disk: a state beside the clip, until the clip is whole.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::lock::RunLock;
use super::metadata::Metadata;
use crate::error::{Error, StateError};
use crate::media::read_metadata;
use crate::request::field;
use crate::staged::folder_of;
use crate::weights::{RunProgress, RunState};

/// The extension of a state's file.
pub(super) const EXTENSION: &str = "kinora-state";

/// Prefix of an application's own entries, which record how a run was started and do not affect
/// the result.
pub(super) const OWN: &str = "run_";
/// The device of the run.
pub(super) const DEVICE: &str = "run_device";

/// Where a state belongs that lies in the folder of temporary files.
const PLACE: &str = "run_place";

/// Entries that may differ between the saved run and this one: they do not change the latents, or
/// a hash covers them.
const INDIFFERENT: [&str; 8] = [
    "decoder",
    "fps",
    "image",
    "kinora",
    "last_image",
    "model",
    "tiny_decoder_latents",
    "video",
];
/// Clips and states of earlier versions lack this hash.
const TOKENIZER_HASH: &str = "tokenizer_hash";
/// Letters of a value that a message shows.
const SHOWN: usize = 40;

/// The name of a clip's state.
pub fn state_path(clip: &Path) -> PathBuf {
    clip.with_extension(EXTENSION)
}

/// A run on the disk.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SavedRun {
    /// The file.
    pub path: PathBuf,
    /// What it holds.
    pub state: RunState,
}

impl SavedRun {
    /// Reads a state.
    ///
    /// # Errors
    /// [`StateError::Broken`] for a file that is no state, or is damaged.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref().to_owned();
        match RunState::read(&path) {
            Ok(state) => Ok(Self { path, state }),
            Err(source) => Err(StateError::Broken { path, source }.into()),
        }
    }

    /// The state of a clip, if there is one: beside it, or in the folder of temporary files where
    /// there was no room beside it.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn beside(clip: &Path) -> Result<Option<Self>, Error> {
        Self::path_for(clip).map(Self::read).transpose()
    }

    /// Where a clip's state lies, if there is one; the state's own name will do.
    pub fn path_for(clip: &Path) -> Option<PathBuf> {
        let path = state_path(clip);
        match path.symlink_metadata() {
            Ok(_) => Some(path),
            Err(_) => elsewhere(&path).pop(),
        }
    }

    /// States of clips in a folder whose names start with `beginning`, sorted by name, and those
    /// that were put elsewhere for want of room.
    pub fn in_folder(folder: &Path, beginning: &str) -> Vec<PathBuf> {
        let here = fs::canonicalize(folder).ok();
        let moved = states_in(&std::env::temp_dir(), beginning).into_iter();
        let moved = moved.filter(|state| {
            let lies = whole(state).and_then(|state| state.parent().map(Path::to_owned));
            lies != here && place_of(state).is_some_and(|place| place.parent() == here.as_deref())
        });
        states_in(folder, beginning)
            .into_iter()
            .chain(moved)
            .collect()
    }

    /// Whether a run is going on whose state this file is.
    pub fn is_busy(state: &Path) -> bool {
        RunLock::is_held(state) || place_of(state).is_some_and(|place| RunLock::is_held(&place))
    }

    /// An entry of its metadata.
    pub fn entry(&self, key: &str) -> Option<&str> {
        self.state.metadata.get(key).map(String::as_str)
    }

    /// The seed of its clip.
    pub fn seed(&self) -> Option<u64> {
        self.entry("seed")?.parse().ok()
    }

    /// Whether steps of the run would be lost with the state.
    pub fn has_steps(&self) -> bool {
        self.state.progress != RunProgress::Nothing
    }

    /// Refuses to continue with another run than the one that `metadata` describes.
    ///
    /// # Errors
    /// [`StateError::OtherRun`] or [`StateError::OtherModel`] with the first entry that differs.
    pub(super) fn check(&self, metadata: &BTreeMap<String, String>) -> Result<(), Error> {
        let theirs = &self.state.metadata;
        let elsewhere = theirs.get(DEVICE) != metadata.get(DEVICE);
        let indifferent = |key: &str| {
            key.starts_with(OWN)
                || INDIFFERENT.contains(&key)
                // Paths may change; the model's hash identifies the files.
                || field(key).is_some_and(|field| field.is_typed())
                || key == TOKENIZER_HASH && !theirs.contains_key(key)
                // Another device may support another precision.
                || elsewhere && key == "precision"
        };
        let matters = |key: &&String| !indifferent(key);
        let keys = metadata.keys().chain(theirs.keys()).filter(matters);
        let mut differ = keys.filter(|key| theirs.get(*key) != metadata.get(*key));
        let Some(key) = differ.next() else {
            return Ok(());
        };
        let shown = |from: &BTreeMap<String, String>| match from.get(key) {
            None => "not set".to_owned(),
            Some(text) if text.chars().count() > SHOWN => {
                format!("{:?}", text.chars().take(SHOWN).collect::<String>() + "…")
            }
            Some(text) => format!("{text:?}"),
        };
        let (path, found, expected) = (self.path.clone(), shown(theirs), shown(metadata));
        let what = match key.as_str() {
            "model_hash" => Some("weights"),
            TOKENIZER_HASH => Some("tokenizer"),
            _ => None,
        };
        Err(match what {
            Some(what) => StateError::OtherModel {
                path,
                what,
                found,
                expected,
            },
            None => StateError::OtherRun {
                path,
                key: key.clone(),
                found,
                expected,
            },
        }
        .into())
    }

    /// Where the run began, if on another device or version, so that the last bits may differ from an
    /// uninterrupted run's.
    pub(super) fn break_note(&self, metadata: &BTreeMap<String, String>) -> Option<String> {
        let changed = |key: &str| {
            let began = self.state.metadata.get(key)?;
            (metadata.get(key) != Some(began)).then_some(began)
        };
        match (changed(DEVICE), changed("kinora")) {
            (Some(device), _) => Some(format!("on {device}")),
            (None, Some(version)) => Some(format!("with Kinora {version}")),
            (None, None) => None,
        }
    }
}

/// States in a folder whose names start with `beginning`, sorted by name; bare names in the current
/// folder.
fn states_in(folder: &Path, beginning: &str) -> Vec<PathBuf> {
    let names = fs::read_dir(folder).into_iter().flatten().flatten();
    let fits = |name: &str| name.starts_with(beginning);
    let mut found: Vec<PathBuf> = names
        .filter(|entry| entry.file_name().to_str().is_some_and(fits))
        .map(|entry| {
            if folder == Path::new(".") {
                entry.file_name().into()
            } else {
                entry.path()
            }
        })
        .filter(|path: &PathBuf| path.extension().is_some_and(|e| e == EXTENSION))
        .collect();
    found.sort();
    found
}

/// The entry of a state that belongs at `place`, for one that is kept elsewhere.
pub(super) fn moved_from(place: &Path) -> Option<(String, String)> {
    Some((PLACE.to_owned(), whole(place)?.to_str()?.to_owned()))
}

/// The states in the folder of temporary files that belong at `place`, the newest last.
pub(super) fn elsewhere(place: &Path) -> Vec<PathBuf> {
    let (Some(own), Some(stem)) = (whole(place), place.file_stem().and_then(|s| s.to_str())) else {
        return Vec::new();
    };
    let mut found = states_in(&std::env::temp_dir(), stem);
    found.retain(|state| place_of(state).as_ref() == Some(&own));
    found.sort_by_key(|state| fs::metadata(state).and_then(|file| file.modified()).ok());
    found
}

/// Where a state belongs that was put into the folder of temporary files, which other people's
/// files lie in, too.
fn place_of(state: &Path) -> Option<PathBuf> {
    if !is_own(state) {
        return None;
    }
    let saved = SavedRun::read(state).ok()?;
    saved.entry(PLACE).map(PathBuf::from)
}

/// A path that means the same from every folder; `None` where its folder is not there.
fn whole(path: &Path) -> Option<PathBuf> {
    let folder = fs::canonicalize(folder_of(path)).ok()?;
    Some(folder.join(path.file_name()?))
}

/// Whether a file is an ordinary one of this process's user.
fn is_own(path: &Path) -> bool {
    let Ok(found) = path.symlink_metadata() else {
        return false;
    };
    #[cfg(unix)]
    let is_mine = {
        use std::os::unix::fs::MetadataExt;
        let mine = tempfile::tempfile().and_then(|file| file.metadata());
        mine.is_ok_and(|mine| mine.uid() == found.uid())
    };
    // The folder of temporary files is the user's own.
    #[cfg(not(unix))]
    let is_mine = true;
    found.is_file() && is_mine
}

/// Whether a clip on the disk is the one that a run with this metadata makes.
pub(super) fn is_made(clip: &Path, metadata: &Metadata) -> bool {
    let mut made = metadata.entries();
    !made.is_empty()
        && read_metadata(clip).is_ok_and(|found| {
            let key = |(key, _): &(String, String)| key == TOKENIZER_HASH;
            if !found.iter().any(key) {
                made.retain(|entry| !key(entry));
            }
            found == made
        })
}
