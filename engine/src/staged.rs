//! Files that are complete or absent, whatever ends the process.
//!
//! A file is written beside its final name and renamed when it is whole, so that no name ever
//! belongs to half a file. The temporary names are `.kinora-….tmp`; one that is left was a run
//! killed in the last moment, and may be deleted. They begin alike for one final name, so that the
//! next run for the same name can take away what the last one left.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};
use tempfile::{Builder, NamedTempFile, TempDir};

const PREFIX: &str = ".kinora-";
const SUFFIX: &str = ".tmp";

/// Whether a file's name is one that files bear until they are whole.
pub(crate) fn is_temporary(name: &OsStr) -> bool {
    name.to_str()
        .is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX))
}

/// The folder a path lies in; a bare name lies in the current one.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// How the temporary names for a final name begin: as short for a long name as for a short one.
fn prefix_for(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    format!("{PREFIX}{:.8x}-", Sha256::digest(name))
}

/// A folder for what will be called `path`: beside it, gone when dropped, in place of one that a
/// killed run left.
pub(crate) fn folder_for(path: &Path) -> io::Result<TempDir> {
    sweep(path);
    let prefix = prefix_for(path);
    let mut builder = Builder::new();
    builder.prefix(&prefix).suffix(SUFFIX);
    builder.tempdir_in(folder_of(path))
}

/// Takes away the temporary files and folders that killed runs left on their way to `path`. What
/// cannot be taken away is only in the way.
pub(crate) fn sweep(path: &Path) {
    let prefix = prefix_for(path);
    for entry in fs::read_dir(folder_of(path))
        .into_iter()
        .flatten()
        .flatten()
    {
        let name = entry.file_name();
        let ours = |name: &str| name.starts_with(&prefix) && name.ends_with(SUFFIX);
        if name.to_str().is_some_and(ours) {
            let _ = match entry.file_type() {
                Ok(kind) if kind.is_dir() => fs::remove_dir_all(entry.path()),
                _ => fs::remove_file(entry.path()),
            };
        }
    }
}

/// A file that gets its name when it is whole, and vanishes when dropped before.
pub(crate) struct Staged(NamedTempFile);

impl Staged {
    /// Begins a file that will be called `path`.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let prefix = prefix_for(path);
        let mut builder = Builder::new();
        builder.prefix(&prefix).suffix(SUFFIX);
        // Temporary files are private by default, but this one becomes an ordinary file, under the
        // umask.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        builder.tempfile_in(folder_of(path)).map(Self)
    }

    pub(crate) fn file(&mut self) -> &mut File {
        self.0.as_file_mut()
    }

    /// Waits until the bytes are on the disk, so that a power cut after [`commit`](Self::commit)
    /// cannot leave a name without contents.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.0.as_file().sync_all()
    }

    /// Gives the file its name; an existing one is replaced only with `overwrite`.
    pub(crate) fn commit(self, path: &Path, overwrite: bool) -> io::Result<()> {
        let renamed = if overwrite {
            self.0.persist(path)
        } else {
            self.0.persist_noclobber(path)
        };
        renamed.map(drop).map_err(|e| e.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_run_left_is_taken_away_with_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("a.mp4"), folder.path().join("b.mp4"));
        for path in [&one, &one, &other] {
            let staged = Staged::create(path).unwrap();
            staged.0.keep().unwrap();
        }
        let left = folder_for(&one).unwrap().keep();
        fs::write(left.join("part"), "").unwrap();
        sweep(&one);
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().flatten().collect();
        assert_eq!(left.len(), 1);
        assert!(is_temporary(&left[0].file_name()));
        sweep(&other);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
