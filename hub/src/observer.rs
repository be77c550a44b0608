//! How an application follows a download, and ends it.

/// The progress of a download.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// Bytes arrive.
    Downloading,
    /// A file is whole and is being compared with the hub's hash; others may still arrive.
    Checking(
        /// Its path in the repository.
        String,
    ),
}

/// How far a download is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The current stage.
    pub stage: Stage,
    /// Bytes that this download brought. Fewer than before where what arrived was damaged.
    pub done: u64,
    /// Bytes that it is to bring: [`Download::missing`](crate::Download::missing).
    pub total: u64,
}

/// Whoever follows a download. Each method does nothing unless it is implemented.
///
/// The calls come from the download's threads. `progress` and `note` are never called twice at a
/// time, and should return at once: the connections wait for them.
pub trait Observer: Sync {
    /// Bytes arrived, or a file is being checked.
    fn progress(&self, progress: &Progress) {
        let _ = progress;
    }

    /// Something that a person may want to know, in words: a broken connection, a wait.
    fn note(&self, note: &str) {
        let _ = note;
    }

    /// Whether to stop. Asked at least every 64 KiB of a connection and every 200 ms of a wait; a
    /// download that is stopped ends with [`HubError::Interrupted`](crate::HubError::Interrupted).
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// Observes nothing and never cancels.
impl Observer for () {}
