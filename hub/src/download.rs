//! Downloads: several pieces at a time, each file checked before it gets its name.

use std::collections::VecDeque;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::cache::{Blob, Folder};
use crate::error::HubError;
use crate::http::Client;
use crate::observer::{Observer, Progress, Stage};
use crate::partial::{Partial, on_disk};
use crate::{Download, Hub};

/// Connections at a time.
const CONNECTIONS: usize = 8;
/// A piece is large enough that asking for it costs little, and small enough that all connections
/// have work until a file's end.
const PIECES: Range<u64> = 1 << 19..1 << 25;

/// A download under way, as its connections see it.
pub(crate) struct Work<'a> {
    pub(crate) hub: &'a Hub,
    pub(crate) client: &'a Client,
    pub(crate) download: &'a Download,
    observer: &'a dyn Observer,
    /// Bytes that this download brought, held while the observer is called. Less than none where
    /// what earlier ones brought turned out to be gone.
    brought: Mutex<i64>,
    folder: &'a Folder,
    /// One connection gave up, and so do the others.
    failed: AtomicBool,
    queue: Mutex<Queue<'a>>,
}

struct Queue<'a> {
    blobs: VecDeque<&'a Blob>,
    pieces: VecDeque<Piece>,
}

/// Some bytes of a file.
type Piece = (Arc<Partial>, Range<u64>);

impl Hub {
    /// Fetches the missing files of `download` and returns the folder of the model. The `observer`
    /// receives progress and may cancel.
    ///
    /// # Errors
    /// A [`HubError`]. Received data is kept, and the next download continues from it.
    pub fn download(
        &self,
        download: &Download,
        observer: &dyn Observer,
    ) -> Result<PathBuf, HubError> {
        let folder = Folder::new(self, &download.repo);
        folder.create(&download.commit)?;
        room(&self.cache, download.missing())?;
        let work = Work {
            hub: self,
            client: &Client::new(self)?,
            download,
            observer,
            brought: Mutex::new(0),
            folder: &folder,
            failed: AtomicBool::new(false),
            queue: Mutex::new(Queue {
                blobs: download.blobs.iter().collect(),
                pieces: VecDeque::new(),
            }),
        };
        let results: Vec<Result<(), HubError>> = thread::scope(|scope| {
            let threads: Vec<_> = (0..CONNECTIONS)
                .map(|_| scope.spawn(|| work.connection()))
                .collect();
            let end = |thread: thread::ScopedJoinHandle<'_, _>| match thread.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            threads.into_iter().map(end).collect()
        });
        // The first failure is the cause; the other connections were stopped because of it.
        let (mut stopped, mut failed) = (None, None);
        for error in results.into_iter().filter_map(Result::err) {
            match error {
                HubError::Interrupted => stopped = Some(error),
                error => failed = failed.or(Some(error)),
            }
        }
        match failed.or(stopped) {
            Some(error) => Err(error),
            None => {
                folder.refer(download.repo.revision(), &download.commit)?;
                Ok(folder.snapshot(&download.commit))
            }
        }
    }
}

impl Work<'_> {
    /// Whether it is time to give up.
    pub(crate) fn stopped(&self) -> bool {
        self.failed.load(Ordering::Acquire) || self.observer.is_cancelled()
    }

    /// Reports `bytes` more downloaded; negative when bytes are discarded.
    pub(crate) fn moved(&self, bytes: i64) {
        self.tell(Stage::Downloading, bytes);
    }

    /// Tells a person something.
    pub(crate) fn note(&self, note: &str) {
        let _one_at_a_time = self.brought();
        self.observer.note(note);
    }

    fn tell(&self, stage: Stage, bytes: i64) {
        let mut brought = self.brought();
        *brought = brought.saturating_add(bytes);
        let total = self.download.missing();
        self.observer.progress(&Progress {
            stage,
            done: u64::try_from(*brought).unwrap_or(0).min(total),
            total,
        });
    }

    fn brought(&self) -> MutexGuard<'_, i64> {
        self.brought.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches pieces until there are none.
    fn connection(&self) -> Result<(), HubError> {
        let result = self.pieces();
        if result.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        result
    }

    fn pieces(&self) -> Result<(), HubError> {
        while let Some((partial, range)) = self.next()? {
            // From a server without ranges, one connection takes all of it.
            if !partial.is_whole() {
                self.fetch(&partial, range)?;
            }
            if partial.take_complete() {
                self.finish(&partial)?;
            }
        }
        Ok(())
    }

    /// The next piece, of the file under way or of the next one.
    fn next(&self) -> Result<Option<Piece>, HubError> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if self.stopped() {
                return Err(HubError::Interrupted);
            }
            if let Some(piece) = queue.pieces.pop_front() {
                return Ok(Some(piece));
            }
            let Some(blob) = queue.blobs.pop_front() else {
                return Ok(None);
            };
            let commit = &self.download.commit;
            if !self.folder.has(blob, commit) {
                let waiting = || {
                    let name = blob.name();
                    self.note(&format!(
                        "{name}: another program fetches it; waiting for that"
                    ));
                };
                let lock = self.folder.lock(blob, &|| self.stopped(), waiting)?;
                // The other program may be done with it now.
                if !self.folder.has(blob, commit) {
                    let partial = Partial::open(self.folder, blob, lock)?;
                    // Another process may have changed or removed the data meanwhile.
                    let before = signed(self.download.here(blob));
                    self.moved(signed(partial.bytes()) - before);
                    queue.add(partial);
                    continue;
                }
                self.moved(signed(blob.size - self.download.here(blob)));
            }
            self.folder.link(blob, commit)?;
        }
    }

    /// Checks a file that is whole, and gives it its name.
    fn finish(&self, partial: &Partial) -> Result<(), HubError> {
        let blob = &partial.blob;
        self.tell(Stage::Checking(blob.name().to_owned()), 0);
        let hash = blob.hash_of(partial.path(), &|| self.stopped());
        let hash = hash.map_err(|source| on_disk(partial.path(), source))?;
        let hash = hash.ok_or(HubError::Interrupted)?;
        if hash != blob.hash {
            return self.damaged(partial, hash);
        }
        // A power cut after the renaming may not leave the name without the content: from then on
        // nothing looks at more than its length.
        let file = fs::OpenOptions::new().write(true).open(partial.path());
        let synced = file.and_then(|file| file.sync_all());
        synced.map_err(|source| on_disk(partial.path(), source))?;
        let name = self.folder.blob(blob);
        fs::rename(partial.path(), &name).map_err(|source| on_disk(&name, source))?;
        partial.discard();
        self.folder.link(blob, &self.download.commit)
    }

    /// Handles content that does not match its hash: it is fetched once more from the beginning.
    fn damaged(&self, partial: &Partial, found: String) -> Result<(), HubError> {
        let blob = &partial.blob;
        let lost = partial.forget()?;
        partial.discard();
        if partial.again {
            return Err(HubError::Checksum {
                file: blob.name().to_owned(),
                algorithm: blob.algorithm(),
                found,
                expected: blob.hash.clone(),
            });
        }
        self.moved(-signed(lost));
        let name = blob.name();
        self.note(&format!(
            "{name}: arrived damaged, discarded; it comes once more"
        ));
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let lock = partial
            .lock
            .try_clone()
            .map_err(|source| on_disk(partial.path(), source))?;
        let mut fresh = Partial::open(self.folder, blob, lock)?;
        fresh.again = true;
        queue.add(fresh);
        Ok(())
    }
}

impl Queue<'_> {
    fn add(&mut self, partial: Partial) {
        let size = partial.blob.size;
        let piece = (size / (4 * CONNECTIONS as u64)).clamp(PIECES.start, PIECES.end);
        let mut missing = partial.missing(piece);
        if missing.is_empty() {
            // All of it arrived before, and was not checked.
            missing.push(0..0);
        }
        let partial = Arc::new(partial);
        self.pieces.extend(
            missing
                .into_iter()
                .map(|range| (Arc::clone(&partial), range)),
        );
    }
}

/// A number of bytes that may be taken away.
pub(crate) fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Refuses what does not fit on the disk.
fn room(cache: &Path, needed: u64) -> Result<(), HubError> {
    match fs4::available_space(cache) {
        Ok(free) if free < needed => Err(HubError::Space {
            path: cache.to_owned(),
            needed,
            free,
        }),
        // A disk that does not say is full when it is full.
        _ => Ok(()),
    }
}
