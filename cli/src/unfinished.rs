//! How unfinished runs were started: what the command line adds to a run's state.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};

use kinora::SavedRun;

/// Entries of a state that say how the run was started and where.
const ARGUMENTS: &str = "run_arguments";
const FOLDER: &str = "run_folder";
const OUTPUT: &str = "run_output";
const FIRST_SEED: &str = "run_first_seed";

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
    pub(crate) fn of(saved: &SavedRun) -> Option<Self> {
        Some(Self {
            arguments: serde_json::from_str(saved.entry(ARGUMENTS)?).ok()?,
            folder: saved.entry(FOLDER)?.into(),
        })
    }
}

/// The seed of the first clip of a run's command.
pub(crate) fn first_seed(saved: &SavedRun) -> Option<u64> {
    let first = saved.entry(FIRST_SEED).and_then(|text| text.parse().ok());
    first.or(saved.seed())
}

/// The output as its command would have had to say it.
pub(crate) fn output_of(saved: &SavedRun) -> Option<PathBuf> {
    saved.entry(OUTPUT).map(PathBuf::from)
}

/// The entries of a state of a run that was started so.
pub(crate) fn entries(
    origin: Option<&Origin>,
    output: &Path,
    first_seed: u64,
) -> BTreeMap<String, String> {
    let mut entries = BTreeMap::new();
    let mut add = |key: &str, value: String| entries.insert(key.to_owned(), value);
    add(FIRST_SEED, first_seed.to_string());
    if let (Some(origin), Some(output)) = (origin, output.to_str()) {
        let words = origin.arguments.iter().map(String::as_str);
        let words: serde_json::Value = words.collect();
        add(ARGUMENTS, words.to_string());
        add(FOLDER, origin.folder.display().to_string());
        add(OUTPUT, output.to_owned());
    }
    entries
}
