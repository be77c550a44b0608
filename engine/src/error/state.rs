//! Errors of runs that are saved on the disk.

use std::path::PathBuf;

use super::WeightsError;

/// Why a saved run cannot be continued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// A file that is no state, or is damaged.
    #[error("{source}")]
    Broken {
        /// The state.
        path: PathBuf,
        /// What is wrong with it.
        source: WeightsError,
    },
    /// The state of a run that goes on at this moment.
    #[error("another run that keeps its state in {} is still going on: wait for it, or choose another output", path.display())]
    Busy {
        /// The state.
        path: PathBuf,
    },
    /// The state of another run.
    #[error("{} keeps an unfinished run whose {key} is {found}, not {expected}", path.display())]
    OtherRun {
        /// The state.
        path: PathBuf,
        /// The field.
        key: String,
        /// Its value there.
        found: String,
        /// Its value now.
        expected: String,
    },
    /// The state of a run with other files.
    #[error("{} keeps an unfinished run that began with another model: the hash of its {what} is {found}, now {expected}", path.display())]
    OtherModel {
        /// The state.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// Its hash there.
        found: String,
        /// Its hash now.
        expected: String,
    },
}
