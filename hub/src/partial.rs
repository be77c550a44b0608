//! A file that is still arriving, in ranges and in any order, over as many runs as it takes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::cache::{Blob, Folder};
use crate::error::HubError;
use crate::ranges::Ranges;

/// The file, and the list of the ranges that are in it. A range is written down after its bytes
/// are, so that whatever ends the program, nothing is believed to be there that is not.
pub(crate) struct Partial {
    pub(crate) blob: Blob,
    /// Whether its content was wrong once already.
    pub(crate) again: bool,
    /// Where the hub's redirects led to, until that stops working.
    pub(crate) address: Mutex<Option<String>>,
    incomplete: PathBuf,
    journal: PathBuf,
    known: Mutex<Known>,
    whole: AtomicBool,
    taken: AtomicBool,
    /// Held as long as this lives: no other process fetches the same file.
    pub(crate) lock: File,
}

struct Known {
    file: File,
    ranges: Ranges,
}

impl Partial {
    /// Goes on with what earlier runs left, or begins.
    ///
    /// # Errors
    /// [`HubError::File`] or [`HubError::DiskFull`].
    pub(crate) fn open(folder: &Folder, blob: &Blob, lock: File) -> Result<Self, HubError> {
        let (incomplete, journal) = (folder.incomplete(blob), folder.journal(blob));
        let ranges = there(folder, blob);
        let failed = |path: &Path, source| on_disk(path, source);
        if ranges.bytes() == 0 {
            // Data without a list of ranges, or with one for another length, cannot be used.
            let _ = fs::remove_file(&incomplete);
        }
        let create = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&incomplete);
        create
            .and_then(|file| file.set_len(blob.size))
            .map_err(|source| failed(&incomplete, source))?;
        // Rewritten to be short and free of a line that a crash truncated.
        let mut text = format!("{}\n", blob.size);
        for range in ranges.iter() {
            text.push_str(&line(range));
        }
        let write = || {
            let mut file = File::create(&journal)?;
            file.write_all(text.as_bytes())?;
            Ok(file)
        };
        let file = write().map_err(|source| failed(&journal, source))?;
        Ok(Self {
            blob: blob.clone(),
            again: false,
            address: Mutex::new(None),
            incomplete,
            journal,
            known: Mutex::new(Known { file, ranges }),
            whole: AtomicBool::new(false),
            taken: AtomicBool::new(false),
            lock,
        })
    }

    /// The file on the disk.
    pub(crate) fn path(&self) -> &Path {
        &self.incomplete
    }

    /// The ranges still to fetch, in pieces of at most `piece` bytes.
    pub(crate) fn missing(&self, piece: u64) -> Vec<Range<u64>> {
        self.known().ranges.missing(self.blob.size, piece)
    }

    /// How many of its bytes are there.
    pub(crate) fn bytes(&self) -> u64 {
        self.known().ranges.bytes()
    }

    /// These bytes are in the file.
    ///
    /// # Errors
    /// [`HubError::File`] or [`HubError::DiskFull`].
    pub(crate) fn record(&self, range: Range<u64>) -> Result<(), HubError> {
        let mut known = self.known();
        let written = known.file.write_all(line(&range).as_bytes());
        written.map_err(|source| on_disk(&self.journal, source))?;
        known.ranges.insert(range);
        Ok(())
    }

    /// Discards the received bytes and returns their number.
    ///
    /// # Errors
    /// [`HubError::File`] or [`HubError::DiskFull`].
    pub(crate) fn forget(&self) -> Result<u64, HubError> {
        let mut known = self.known();
        let begin = || {
            let mut file = File::create(&self.journal)?;
            writeln!(file, "{}", self.blob.size)?;
            Ok(file)
        };
        known.file = begin().map_err(|source| on_disk(&self.journal, source))?;
        Ok(std::mem::take(&mut known.ranges).bytes())
    }

    /// Switches to one connection, for a server that sends whole files only. Returns `true` to the first
    /// caller, whose connection then fetches the file.
    pub(crate) fn become_whole(&self) -> bool {
        !self.whole.swap(true, Ordering::AcqRel)
    }

    /// Whether one connection fetches the whole file.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole.load(Ordering::Acquire)
    }

    /// Whether all of it is there; `true` once, to the one who is to check and name it.
    pub(crate) fn take_complete(&self) -> bool {
        let complete = self.bytes() == self.blob.size;
        complete && !self.taken.swap(true, Ordering::AcqRel)
    }

    /// Removes both files: the content is under its own name by now, or wrong.
    pub(crate) fn discard(&self) {
        // A file that cannot be removed does no harm: the next download starts it again.
        let _ = fs::remove_file(&self.incomplete);
        let _ = fs::remove_file(&self.journal);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which bytes earlier runs fetched.
pub(crate) fn there(folder: &Folder, blob: &Blob) -> Ranges {
    let full = |file: fs::Metadata| file.len() == blob.size;
    if !fs::metadata(folder.incomplete(blob)).is_ok_and(full) {
        return Ranges::default();
    }
    let text = fs::read_to_string(folder.journal(blob)).unwrap_or_default();
    read(&text, blob.size)
}

/// The ranges of a journal for a file of `size` bytes; a line that is not one ends it.
fn read(text: &str, size: u64) -> Ranges {
    let mut ranges = Ranges::default();
    let mut lines = text
        .split_inclusive('\n')
        .map_while(|line| line.strip_suffix('\n'));
    if lines.next().and_then(|line| line.parse().ok()) != Some(size) {
        return ranges;
    }
    for line in lines {
        let range = line.split_once(' ').and_then(|(start, end)| {
            let (start, end): (u64, u64) = (start.parse().ok()?, end.parse().ok()?);
            (start < end && end <= size).then_some(start..end)
        });
        match range {
            Some(range) => ranges.insert(range),
            None => break,
        }
    }
    ranges
}

fn line(range: &Range<u64>) -> String {
    format!("{} {}\n", range.start, range.end)
}

/// An error of the system's about a file of the cache.
pub(crate) fn on_disk(path: &Path, source: io::Error) -> HubError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => HubError::DiskFull { path },
        _ => HubError::File { path, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_is_believed_as_far_as_it_is_whole() {
        let there = |text: &str| read(text, 100).bytes();
        assert_eq!(there("100\n0 10\n50 60\n5 20\n"), 30);
        // Cut off, of another length, beyond the end, not numbers, nothing.
        assert_eq!(there("100\n0 10\n50 6"), 10);
        assert_eq!(there("99\n0 10\n"), 0);
        assert_eq!(there("100\n0 10\n90 101\n20 30\n"), 10);
        assert_eq!(there("100\n0 10\n\u{0}\u{0}\n"), 10);
        assert_eq!(there(""), 0);
    }
}
