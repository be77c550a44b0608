//! Files that are complete or absent, whatever ends the process.
//!
//! A file is written beside its final name and renamed when it is whole, so that no name ever
//! belongs to half a file. The temporary names are `.kinora-….tmp`; one that is left was a run
//! killed in the last moment, and may be deleted. They begin alike for one final name, so that the
//! next run for the same name can take away what the last one left.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

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

/// Links that lead from one name to a file, at most: as many as Linux follows.
const LINKS: usize = 40;

/// The name that links at `path` lead to, or `path` where it is no link. Nothing need be there.
pub(crate) fn through_links(path: &Path) -> PathBuf {
    let mut at = path.to_owned();
    for _ in 0..LINKS {
        match fs::read_link(&at) {
            Ok(next) => at = folder_of(&at).join(next),
            Err(_) => return at,
        }
    }
    // A circle leads nowhere.
    path.to_owned()
}

/// How the temporary names for a final name begin: as short for a long name as for a short one.
fn prefix_for(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    format!("{PREFIX}{:.8x}-", Sha256::digest(name))
}

/// The file that a run of the state at `path` locks.
pub(crate) fn lock_path(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    let lock = format!("{PREFIX}{:.8x}.lock", Sha256::digest(name));
    folder_of(path).join(lock)
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
    let path = through_links(path);
    let prefix = prefix_for(&path);
    for entry in fs::read_dir(folder_of(&path))
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

/// A file that gets its name when it is whole, and vanishes when dropped before. Links at the name
/// stay: the file that they lead to is replaced.
pub(crate) struct Staged {
    file: NamedTempFile,
    path: PathBuf,
    place: PathBuf,
}

impl Staged {
    /// Begins a file that will be called `path`.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let place = through_links(path);
        let prefix = prefix_for(&place);
        let mut builder = Builder::new();
        builder.prefix(&prefix).suffix(SUFFIX);
        // Temporary files are private by default, but this one becomes an ordinary file, under the
        // umask.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        Ok(Self {
            file: builder.tempfile_in(folder_of(&place))?,
            path: path.to_owned(),
            place,
        })
    }

    pub(crate) fn file(&mut self) -> &mut File {
        self.file.as_file_mut()
    }

    /// Waits until the bytes are on the disk, so that a power cut after [`commit`](Self::commit)
    /// cannot leave a name without contents.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.as_file().sync_all()
    }

    /// Gives the file its name; an existing one is replaced only with `overwrite`.
    pub(crate) fn commit(self, overwrite: bool) -> io::Result<()> {
        let renamed = if overwrite {
            self.file.persist(&self.place)
        } else if self.place != self.path {
            return Err(io::ErrorKind::AlreadyExists.into());
        } else {
            self.file.persist_noclobber(&self.path)
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
            staged.file.keep().unwrap();
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

    #[cfg(unix)]
    #[test]
    fn a_file_takes_the_place_that_links_lead_to() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("far")).unwrap();
        std::os::unix::fs::symlink("far/b", at("a")).unwrap();
        std::os::unix::fs::symlink("a", at("c")).unwrap();
        let write = |overwrite: bool| {
            let mut staged = Staged::create(&at("c")).unwrap();
            io::Write::write_all(staged.file(), b"new").unwrap();
            staged.commit(overwrite)
        };
        assert_eq!(
            write(false).unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
        assert_eq!(fs::read_dir(at("far")).unwrap().count(), 0);
        write(true).unwrap();
        assert_eq!(fs::read(at("far/b")).unwrap(), b"new");
        assert!(at("a").is_symlink() && at("c").is_symlink());
        std::os::unix::fs::symlink("round", at("round")).unwrap();
        assert_eq!(through_links(&at("round")), at("round"));
    }
}
