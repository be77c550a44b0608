//! Runs that are not done: a state beside the clip, which goes when the clip is whole.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use kinora::media::read_metadata;
use kinora::record::Caps;
use kinora::weights::{RunState, Sampled};

use crate::args::{LORAS, MODEL_PATHS};
use crate::clip::{TINY_DECODER, TOKENIZER_HASH, made_by};
use crate::error::CliError;
use crate::output::free;
use crate::progress::Progress;
use crate::show::quoted;

/// What the name of a state ends in.
pub(crate) const EXTENSION: &str = "kinora-state";

/// Entries that say how the run was started and where, not what it makes.
const OWN: &str = "run_";
const ARGUMENTS: &str = "run_arguments";
const FOLDER: &str = "run_folder";
const OUTPUT: &str = "run_output";
const FIRST_SEED: &str = "run_first_seed";
const DEVICE: &str = "run_device";

/// Entries that do not change the latents, or that the model's hash stands for.
const INDIFFERENT: [&str; 5] = ["decoder", "fps", "kinora", "model", TINY_DECODER];

/// Letters of a value that a message shows.
const SHOWN: usize = 40;

/// How a run was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// What was typed behind the program's name.
    pub arguments: Vec<String>,
    /// Where.
    pub folder: PathBuf,
}

impl Origin {
    /// This process; `None` where its arguments or its folder are not text, or there is no folder.
    pub(crate) fn here() -> Option<Self> {
        let arguments = env::args_os().skip(1).map(|word| word.into_string().ok());
        let folder = env::current_dir().ok()?;
        Some(Self {
            arguments: arguments.collect::<Option<_>>()?,
            folder: folder.to_str().map(PathBuf::from)?,
        })
    }

    /// What a state says of it.
    fn of(metadata: &BTreeMap<String, String>) -> Option<Self> {
        Some(Self {
            arguments: serde_json::from_str(metadata.get(ARGUMENTS)?).ok()?,
            folder: metadata.get(FOLDER)?.into(),
        })
    }
}

/// A state that was found.
#[derive(Debug)]
pub(crate) struct Found {
    /// The file.
    pub path: PathBuf,
    /// What it says.
    pub state: RunState,
}

/// The name of a clip's state.
pub(crate) fn state_of(clip: &Path) -> PathBuf {
    clip.with_extension(EXTENSION)
}

impl Found {
    /// Reads a state.
    pub(crate) fn read(path: &Path) -> Result<Self, CliError> {
        let path = path.to_owned();
        match RunState::read(&path) {
            Ok(state) => Ok(Self { path, state }),
            Err(source) => Err(CliError::BrokenState { path, source }),
        }
    }

    /// The state beside a clip, if there is one.
    pub(crate) fn beside(clip: &Path) -> Result<Option<Self>, CliError> {
        let path = state_of(clip);
        match path.symlink_metadata() {
            Ok(_) => Self::read(&path).map(Some),
            Err(_) => Ok(None),
        }
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.state.metadata.get(key)?.parse().ok()
    }

    /// The seed of its clip.
    pub(crate) fn seed(&self) -> Option<u64> {
        self.number("seed")
    }

    /// The seed of the first clip of its command.
    pub(crate) fn first_seed(&self) -> Option<u64> {
        self.number(FIRST_SEED).or(self.seed())
    }

    /// How it was started.
    pub(crate) fn origin(&self) -> Option<Origin> {
        Origin::of(&self.state.metadata)
    }

    /// The output as its command would have had to say it.
    pub(crate) fn output(&self) -> Option<PathBuf> {
        self.state.metadata.get(OUTPUT).map(PathBuf::from)
    }

    /// What its clip shows.
    pub(crate) fn prompt(&self) -> Option<&str> {
        self.state.metadata.get("prompt").map(String::as_str)
    }

    /// Whether something of the run would be lost with the state.
    pub(crate) fn has_steps(&self) -> bool {
        self.state.sampled != Sampled::Nothing
    }

    /// Refuses to go on with another run than the one that `metadata` describes.
    pub(crate) fn check(&self, metadata: &BTreeMap<String, String>) -> Result<(), CliError> {
        let theirs = &self.state.metadata;
        let elsewhere = theirs.get(DEVICE) != metadata.get(DEVICE);
        let indifferent = |key: &str| {
            // What a device makes of a precision differs from device to device.
            key.starts_with(OWN)
                || INDIFFERENT.contains(&key)
                // Where files were; the model's hash says what they were.
                || MODEL_PATHS.iter().any(|(path, _)| *path == key)
                || key == LORAS
                || key == TOKENIZER_HASH && !theirs.contains_key(key)
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
        let what = match key.as_str() {
            "model_hash" => Some("weights"),
            TOKENIZER_HASH => Some("tokenizer"),
            _ => None,
        };
        if let Some(what) = what {
            return Err(CliError::OtherModel {
                path: self.path.clone(),
                what,
                found: shown(theirs),
                expected: shown(metadata),
            });
        }
        Err(CliError::OtherRun {
            path: self.path.clone(),
            key: key.clone(),
            found: shown(theirs),
            expected: shown(metadata),
        })
    }

    /// What is to be said where the last bits may come out otherwise than without a break.
    pub(crate) fn note(&self, metadata: &BTreeMap<String, String>) -> Option<String> {
        let changed = |key: &str| {
            let began = self.state.metadata.get(key)?;
            (metadata.get(key) != Some(began)).then_some(began)
        };
        let began = match (changed(DEVICE), changed("kinora")) {
            (Some(device), _) => format!("on {device}"),
            (None, Some(version)) => format!("with Kinora {version}"),
            (None, None) => return None,
        };
        Some(format!(
            "the run began {began}: the clip may differ in its last bits from one without a break"
        ))
    }
}

/// States in a folder whose names begin so, in the order of their names.
pub(crate) fn states_in(folder: &Path, beginning: &str) -> Vec<PathBuf> {
    let names = fs::read_dir(folder).into_iter().flatten().flatten();
    let fits = |name: &str| name.starts_with(beginning);
    let mut found: Vec<PathBuf> = names
        .filter(|entry| entry.file_name().to_str().is_some_and(fits))
        .map(|entry| match folder == Path::new(".") {
            true => entry.file_name().into(),
            false => entry.path(),
        })
        .filter(|path: &PathBuf| path.extension().is_some_and(|e| e == EXTENSION))
        .collect();
    found.sort();
    found
}

/// Whether a clip that exists is the one that a run with this metadata makes.
pub(crate) fn is_made(clip: &Path, metadata: &BTreeMap<String, String>) -> bool {
    let mut made = made_by(metadata);
    !made.is_empty()
        && read_metadata(clip).is_ok_and(|found| {
            let key = |(key, _): &(String, String)| key == TOKENIZER_HASH;
            if !found.iter().any(key) {
                made.retain(|entry| !key(entry));
            }
            found == made
        })
}

/// The entries that a state has beside those that make the clip again.
pub(crate) fn entries(
    caps: &Caps,
    origin: Option<&Origin>,
    output: &Path,
    first_seed: u32,
) -> Vec<(String, String)> {
    let mut entries = vec![
        (
            DEVICE,
            format!("{}, {}, {}", caps.name, caps.driver, caps.backend),
        ),
        (FIRST_SEED, first_seed.to_string()),
    ];
    if let (Some(origin), Some(output)) = (origin, output.to_str()) {
        let words = origin.arguments.iter().map(String::as_str);
        let words: serde_json::Value = words.collect();
        entries.extend([
            (ARGUMENTS, words.to_string()),
            (FOLDER, origin.folder.display().to_string()),
            (OUTPUT, output.to_owned()),
        ]);
    }
    let owned = entries.into_iter();
    owned.map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Keeps a run on the disk until its clip is whole.
pub(crate) struct Keeper {
    metadata: BTreeMap<String, String>,
    /// Beside the clip.
    beside: PathBuf,
    /// Where the last state lies.
    kept: Option<PathBuf>,
    /// Whether steps would be lost with it.
    has_steps: bool,
    /// Whether it was said that it cannot be kept.
    said: bool,
}

impl Keeper {
    /// Keeps what `metadata` describes beside the clip; `found` is there already.
    pub(crate) fn new(
        clip: &Path,
        metadata: BTreeMap<String, String>,
        found: Option<&Found>,
    ) -> Self {
        Self {
            metadata,
            beside: state_of(clip),
            kept: found.map(|found| found.path.clone()),
            has_steps: found.is_some_and(Found::has_steps),
            said: false,
        }
    }

    /// Puts a state on the disk in place of the one before: beside the clip, or where temporary
    /// files go. Where neither has room the run goes on, and that is said once.
    pub(crate) fn keep(&mut self, sampled: Sampled, progress: &Progress) {
        let has_steps = sampled != Sampled::Nothing;
        let state = RunState {
            sampled,
            metadata: self.metadata.clone(),
        };
        let elsewhere = || {
            let name = self.beside.file_name()?;
            Some(free(&env::temp_dir().join(name), false))
        };
        let written = match (state.write(&self.beside), &self.kept) {
            (Ok(()), _) => Ok(self.beside.clone()),
            (Err(error), Some(kept)) if *kept != self.beside => {
                state.write(kept).map(|()| kept.clone()).map_err(|_| error)
            }
            (Err(error), _) => match elsewhere() {
                Some(path) if state.write(&path).is_ok() => {
                    progress.say(format_args!(
                        "note: {error}; the run is kept in {}",
                        path.display()
                    ));
                    Ok(path)
                }
                _ => Err(error),
            },
        };
        match written {
            Ok(path) => {
                if let Some(old) = self.kept.replace(path.clone())
                    && old != path
                {
                    // It holds less than the new one.
                    let _ = RunState::remove(old);
                }
                self.has_steps = has_steps;
            }
            Err(error) if !self.said => {
                self.said = true;
                progress.say(format_args!(
                    "note: {error}; the run goes on, but should it end early, {}",
                    match self.has_steps {
                        true => "later steps are lost",
                        false => "it is lost",
                    }
                ));
            }
            Err(_) => {}
        }
    }

    /// The clip is whole, or nothing is worth keeping: the state goes.
    pub(crate) fn remove(&mut self) {
        if let Some(path) = self.kept.take() {
            // One that cannot be removed is only in the way.
            let _ = RunState::remove(path);
        }
    }

    /// The run ends early: a state without steps goes unless it stands for clips that are whole.
    pub(crate) fn leave(&mut self, stands_for_others: bool) {
        if !self.has_steps && !stands_for_others {
            self.remove();
        }
    }

    /// The error, and how to go on from what is kept.
    pub(crate) fn kept(&self, error: CliError) -> CliError {
        let Some(path) = &self.kept else { return error };
        let shown = path.display();
        let command = quoted(&shown.to_string()).into_owned();
        let kept = match self.has_steps {
            true => format!("what was sampled is kept; go on with: kinora resume {command}"),
            false => format!("go on with: kinora resume {command}"),
        };
        CliError::Kept {
            source: Box::new(error),
            kept,
        }
    }
}
