//! The cache's layout, which is `huggingface_hub`'s.

use std::fmt::LowerHex;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use sha1::Sha1;
use sha2::digest::Output;
use sha2::{Digest, Sha256};

use crate::error::HubError;
use crate::partial::on_disk;
use crate::select::is_original;
use crate::{Hub, Repo};

/// A blob: its name in the cache, and the files of a snapshot with this content.
#[derive(Clone, Debug)]
pub(crate) struct Blob {
    /// sha256 of a large file (64 digits), git's sha1 of a small one (40 digits).
    pub(crate) hash: String,
    pub(crate) size: u64,
    /// Paths inside the repository, with `/`; at least one.
    pub(crate) paths: Vec<String>,
}

impl Blob {
    /// The name for messages.
    pub(crate) fn name(&self) -> &str {
        self.paths.first().map_or(&self.hash, |path| path)
    }

    /// What its hash is called.
    pub(crate) fn algorithm(&self) -> &'static str {
        match self.hash.len() {
            40 => "git blob sha1",
            _ => "sha256",
        }
    }

    /// The hash of the content of `path`, by the same algorithm; nothing where `stop` said so.
    ///
    /// # Errors
    /// What reading it fails with.
    pub(crate) fn hash_of(
        &self,
        path: &Path,
        stop: &dyn Fn() -> bool,
    ) -> io::Result<Option<String>> {
        if self.hash.len() == 40 {
            let mut hash = Sha1::new();
            // git puts the kind and the length before the content.
            hash.update(format!("blob {}\0", self.size));
            digest(hash, path, stop)
        } else {
            digest(Sha256::new(), path, stop)
        }
    }
}

fn digest<D: Digest>(
    mut hash: D,
    path: &Path,
    stop: &dyn Fn() -> bool,
) -> io::Result<Option<String>>
where
    Output<D>: LowerHex,
{
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        if stop() {
            return Ok(None);
        }
        match io::Read::read(&mut file, &mut buffer)? {
            0 => break,
            read => hash.update(buffer.get(..read).unwrap_or_default()),
        }
    }
    Ok(Some(format!("{:x}", hash.finalize())))
}

/// A repository's folder in the cache.
pub(crate) struct Folder {
    root: PathBuf,
    locks: PathBuf,
}

impl Folder {
    /// Where the files of `repo` are, or will be.
    pub(crate) fn new(hub: &Hub, repo: &Repo) -> Self {
        Self {
            root: hub.cache.join(repo.folder()),
            locks: hub.cache.join(".locks").join(repo.folder()),
        }
    }

    pub(crate) fn blob(&self, blob: &Blob) -> PathBuf {
        self.root.join("blobs").join(&blob.hash)
    }

    /// Not `HASH.incomplete`: `huggingface_hub` assumes that such a file is complete up to its length.
    pub(crate) fn incomplete(&self, blob: &Blob) -> PathBuf {
        self.root
            .join("blobs")
            .join(format!("{}.kinora.incomplete", blob.hash))
    }

    pub(crate) fn journal(&self, blob: &Blob) -> PathBuf {
        self.root
            .join("blobs")
            .join(format!("{}.kinora.ranges", blob.hash))
    }

    pub(crate) fn snapshot(&self, commit: &str) -> PathBuf {
        self.root.join("snapshots").join(commit)
    }

    /// Makes the folders that files are put into.
    ///
    /// # Errors
    /// [`HubError::File`] or [`HubError::DiskFull`].
    pub(crate) fn create(&self, commit: &str) -> Result<(), HubError> {
        for folder in [
            &self.root.join("blobs"),
            &self.snapshot(commit),
            &self.locks,
        ] {
            fs::create_dir_all(folder).map_err(|source| on_disk(folder, source))?;
        }
        Ok(())
    }

    /// Whether the content is there under its own name, or every file of the snapshot that has it.
    pub(crate) fn has(&self, blob: &Blob, commit: &str) -> bool {
        let whole = |path: &Path| fs::metadata(path).is_ok_and(|file| file.len() == blob.size);
        whole(&self.blob(blob))
            || blob
                .paths
                .iter()
                .all(|path| whole(&self.snapshot(commit).join(path)))
    }

    /// Waits until no other process fetches the blob; `waiting` is called once where that takes time.
    ///
    /// # Errors
    /// [`HubError::File`], [`HubError::Interrupted`].
    pub(crate) fn lock(
        &self,
        blob: &Blob,
        stop: &dyn Fn() -> bool,
        mut waiting: impl FnMut(),
    ) -> Result<File, HubError> {
        let path = self.locks.join(format!("{}.lock", blob.hash));
        let failed = |source| on_disk(&path, source);
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(fs::TryLockError::WouldBlock) if stop() => return Err(HubError::Interrupted),
                Err(fs::TryLockError::WouldBlock) => {
                    if !std::mem::replace(&mut told, true) {
                        waiting();
                    }
                    thread::sleep(Duration::from_millis(200));
                }
                // A file system without locks: two downloads at once are then each other's.
                Err(fs::TryLockError::Error(e)) if e.kind() == io::ErrorKind::Unsupported => {
                    return Ok(file);
                }
                Err(fs::TryLockError::Error(source)) => return Err(failed(source)),
            }
        }
    }

    /// Adds the blob to the snapshot, as links or, on systems without links, as files.
    ///
    /// # Errors
    /// [`HubError::File`] or [`HubError::DiskFull`].
    pub(crate) fn link(&self, blob: &Blob, commit: &str) -> Result<(), HubError> {
        let content = self.blob(blob);
        for (index, path) in blob.paths.iter().enumerate() {
            let at = self.snapshot(commit).join(path);
            if fs::metadata(&at).is_ok_and(|file| file.len() == blob.size) {
                continue;
            }
            let failed = |source| on_disk(&at, source);
            if let Some(folder) = at.parent() {
                fs::create_dir_all(folder).map_err(failed)?;
            }
            if fs::symlink_metadata(&at).is_ok() {
                fs::remove_file(&at).map_err(failed)?;
            }
            let up = "../".repeat(path.split('/').count() + 1);
            let linked = symlink(&format!("{up}blobs/{}", blob.hash), &at);
            if linked.is_ok() || fs::hard_link(&content, &at).is_ok() {
                continue;
            }
            // A disk without links: the content moves to where it is needed.
            let moved = match index + 1 == blob.paths.len() {
                true => fs::rename(&content, &at),
                false => fs::copy(&content, &at).map(|_| ()),
            };
            moved.map_err(failed)?;
        }
        Ok(())
    }

    /// Records the commit of the revision. A revision that is a commit needs no record.
    ///
    /// # Errors
    /// [`HubError::File`] or [`HubError::DiskFull`].
    pub(crate) fn refer(&self, revision: &str, commit: &str) -> Result<(), HubError> {
        if revision == commit {
            return Ok(());
        }
        let path = self.root.join("refs").join(revision);
        let write = || {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            // Whole or not at all: another process may read it now.
            let new = unfinished(&path);
            fs::write(&new, commit)?;
            fs::rename(&new, &path)
        };
        write().map_err(|source| on_disk(&path, source))
    }

    fn find(&self, revision: &str) -> Option<PathBuf> {
        let commit = fs::read_to_string(self.root.join("refs").join(revision));
        let commit = commit.unwrap_or_else(|_| revision.to_owned());
        // The file's text is untrusted and must not lead outside the folder.
        let plain = !commit.is_empty() && commit.trim().chars().all(|c| c.is_ascii_alphanumeric());
        let snapshot = self.snapshot(commit.trim());
        (plain && snapshot.is_dir()).then_some(snapshot)
    }
}

impl Hub {
    /// The folder of a repository that any program has downloaded.
    ///
    /// # Errors
    /// [`HubError::NotHere`].
    pub fn find(&self, repo: &Repo) -> Result<PathBuf, HubError> {
        let found = Folder::new(self, repo).find(repo.revision());
        found.ok_or_else(|| HubError::NotHere {
            repo: repo.to_string(),
            cache: self.cache.clone(),
        })
    }

    /// The models in the cache, those in a layout that is read, at their usual revision, by name.
    #[must_use]
    pub fn pulled(&self) -> Vec<(Repo, PathBuf)> {
        let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
        let name = |entry: fs::DirEntry| entry.file_name().into_string().ok();
        let model = |entry: fs::DirEntry| {
            let repo = Repo::of_folder(&name(entry)?)?;
            let folder = self.find(&repo).ok()?;
            let known = |file: String| file == "model_index.json" || is_original(&file);
            let found = entries(&folder).filter_map(name).any(known);
            found.then_some((repo, folder))
        };
        let folders = entries(&self.cache);
        let mut found: Vec<_> = folders.filter_map(model).collect();
        found.sort_by(|(a, _), (b, _)| a.name().cmp(b.name()));
        found
    }
}

/// The name of an unfinished file, distinct for every file, including `v1.0` and `v1.1`.
fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".kinora.new");
    path.with_file_name(name)
}

#[cfg(unix)]
fn symlink(target: &str, at: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, at)
}

/// Needs a privilege or the developer mode there.
#[cfg(windows)]
fn symlink(target: &str, at: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target.replace('/', "\\"), at)
}

#[cfg(not(any(unix, windows)))]
fn symlink(_: &str, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_that_differ_behind_a_dot_are_written_apart() {
        let of = |revision: &str| unfinished(&Path::new("refs").join(revision));
        assert_eq!(of("v1.0"), Path::new("refs/v1.0.kinora.new"));
        assert_ne!(of("v1.0"), of("v1.1"));
        assert_eq!(of("pr/7"), Path::new("refs/pr/7.kinora.new"));
    }
}
