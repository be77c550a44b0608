//! Where results go: checked before work begins, complete or absent when it ends.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::MediaError;
use crate::staged::{self, folder_of};

/// Checks, before anything costly is computed, that a video can be written to `path`: its name
/// ends in `.mp4`, its folder exists and accepts files, and it does not exist itself unless
/// `overwrite`. Leaves nothing behind.
///
/// # Errors
/// The first of [`MediaError::Extension`], [`FolderMissing`](MediaError::FolderMissing),
/// [`NotAFolder`](MediaError::NotAFolder), [`Name`](MediaError::Name),
/// [`IsFolder`](MediaError::IsFolder),
/// [`Exists`](MediaError::Exists), [`FolderNotWritable`](MediaError::FolderNotWritable) that holds.
pub fn check_output(path: &Path, overwrite: bool) -> Result<(), MediaError> {
    let extension = path.extension();
    if !extension.is_some_and(|e| e.eq_ignore_ascii_case("mp4")) {
        return Err(MediaError::Extension {
            path: path.to_owned(),
            found: extension.map_or("no extension".to_owned(), |e| format!(".{}", e.display())),
        });
    }
    check_place(path, overwrite)
}

/// As [`check_output`] for a file of any extension.
///
/// # Errors
/// As [`check_output`], but never [`MediaError::Extension`].
pub fn check_place(path: &Path, overwrite: bool) -> Result<(), MediaError> {
    check_folder(path, folder_of(path))?;
    check_name(path)?;
    if path.is_dir() {
        return Err(MediaError::IsFolder {
            path: path.to_owned(),
        });
    }
    // The link itself: a dangling one is a name that is taken, too.
    match fs::symlink_metadata(path) {
        Ok(_) if !overwrite => {
            return Err(MediaError::Exists {
                path: path.to_owned(),
            });
        }
        _ => {}
    }
    let place = staged::through_links(path);
    let folder = folder_of(&place);
    check_folder(path, folder)?;
    match tempfile::tempfile_in(folder) {
        Ok(_) => Ok(()),
        Err(source) => Err(not_writable(path, folder, source)),
    }
}

/// Checks that the file system takes such a name, which need not exist.
///
/// # Errors
/// [`MediaError::Name`], mostly for a name of more than 255 bytes.
pub fn check_name(path: &Path) -> Result<(), MediaError> {
    match fs::symlink_metadata(path) {
        Err(source) if source.kind() == io::ErrorKind::InvalidFilename => Err(MediaError::Name {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

/// Temporary files in `folder` that a killed run left behind.
///
/// # Errors
/// [`MediaError::Read`] where the folder cannot be listed.
pub fn stale_temporaries(folder: &Path) -> Result<Vec<PathBuf>, MediaError> {
    let failed = |e| MediaError::reading(folder, e);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if is_temporary(&entry.file_name()) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a file's name is one that results bear until they are whole.
pub fn is_temporary(name: &OsStr) -> bool {
    staged::is_temporary(name)
}

/// A file that gets its name when it is whole, and vanishes when dropped before.
pub(super) struct Staged {
    file: staged::Staged,
    path: PathBuf,
    overwrite: bool,
}

impl Staged {
    pub(super) fn create(path: &Path, overwrite: bool) -> Result<Self, MediaError> {
        check_place(path, overwrite)?;
        let file = staged::Staged::create(path);
        Ok(Self {
            file: file.map_err(|e| not_writable(path, folder_of(path), e))?,
            path: path.to_owned(),
            overwrite,
        })
    }

    pub(super) fn file(&mut self) -> &mut File {
        self.file.file()
    }

    /// Waits until the bytes are on the disk.
    pub(super) fn sync(&self) -> Result<(), MediaError> {
        let synced = self.file.sync();
        synced.map_err(|e| MediaError::writing(&self.path, e))
    }

    /// Gives the file its name.
    pub(super) fn commit(self) -> Result<(), MediaError> {
        let Self {
            file,
            path,
            overwrite,
        } = self;
        file.commit(overwrite)
            .map_err(|e| MediaError::writing(&path, e))
    }
}

fn check_folder(path: &Path, folder: &Path) -> Result<(), MediaError> {
    let (path, folder) = (path.to_owned(), folder.to_owned());
    match fs::metadata(&folder) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(MediaError::NotAFolder { path, folder }),
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => {
            Err(MediaError::NotAFolder { path, folder })
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            Err(MediaError::FolderMissing { path, folder })
        }
        Err(source) if source.kind() == io::ErrorKind::InvalidFilename => {
            Err(MediaError::Name { path, source })
        }
        Err(source) => Err(MediaError::FolderNotWritable {
            path,
            folder,
            source,
        }),
    }
}

fn not_writable(path: &Path, folder: &Path, source: io::Error) -> MediaError {
    match MediaError::writing(path, source) {
        MediaError::Write { path, source } => MediaError::FolderNotWritable {
            path,
            folder: folder.to_owned(),
            source,
        },
        told_apart => told_apart,
    }
}
