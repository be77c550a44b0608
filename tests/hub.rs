//! The hub client against a hub, a server that it redirects to and proxies, all on this machine.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "hub/answers.rs"]
mod answers;
#[path = "hub/proxies.rs"]
mod proxies;
#[path = "hub/server.rs"]
mod server;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use kinora_hub::{Hub, HubError, Observer, Progress, Repo};

use crate::server::{COMMIT, REPO};

/// The largest file of either model.
const LARGEST: &str = "transformer/diffusion_pytorch_model.safetensors";

/// Small files, one piece each.
fn tiny_model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/wan21/model")
}

/// The model that ships with the program: large enough for several ranges.
fn starter() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/starter/weights")
}

/// A cache of a test's own, and the variables of whoever uses it.
struct Client {
    folder: tempfile::TempDir,
    variables: BTreeMap<&'static str, String>,
    seen: Seen,
}

/// What an observer was told.
#[derive(Default)]
struct Seen {
    notes: Mutex<String>,
    done: AtomicU64,
    total: AtomicU64,
}

impl Observer for Seen {
    fn progress(&self, progress: &Progress) {
        assert!(progress.done <= progress.total, "{progress:?}");
        self.done.store(progress.done, Ordering::Relaxed);
        self.total.store(progress.total, Ordering::Relaxed);
    }

    fn note(&self, note: &str) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.push_str(note);
        notes.push('\n');
    }
}

impl Client {
    fn new(endpoint: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut client = Self {
            folder,
            variables: BTreeMap::new(),
            seen: Seen::default(),
        };
        let home = client.path("hf").display().to_string();
        client.set("HF_HOME", &home);
        client.set("HF_ENDPOINT", endpoint);
        client
    }

    fn set(&mut self, name: &'static str, value: &str) {
        self.variables.insert(name, value.to_owned());
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.folder.path().join(inside)
    }

    fn in_cache(&self, inside: &str) -> PathBuf {
        let repo = self.path("hf/hub/models--kinora-test--Tiny-Diffusers");
        repo.join(inside)
    }

    /// Downloads the repository at `revision`, or at its usual one.
    fn pull_at(&self, revision: Option<&str>) -> Result<PathBuf, HubError> {
        let hub = Hub::from_variables(&|name| self.variables.get(name).map(OsString::from))?;
        let repo: Repo = REPO.parse()?;
        let repo = match revision {
            Some(revision) => repo.at(revision)?,
            None => repo,
        };
        let download = hub.inspect(&repo, &self.seen)?;
        hub.download(&download, &self.seen)
    }

    fn pull(&self) -> Result<PathBuf, HubError> {
        self.pull_at(None)
    }

    /// The error that a download ends with, in words; all of `words` are in it.
    fn refused(&self, words: &[&str]) -> String {
        let said = self.pull_at(Some("v1")).expect_err("refused").to_string();
        for word in words {
            assert!(said.contains(word), "{word:?} is not in {said:?}");
        }
        said
    }

    fn notes(&self) -> String {
        let notes = self.seen.notes.lock();
        notes.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Downloads; every file of `model` then lies in the snapshot byte for byte, nothing else is
    /// left, and the progress ended at its total.
    fn pulls(&self, model: &Path) {
        let snapshot = self.pull().expect("a download");
        assert_eq!(snapshot, self.in_cache("snapshots").join(COMMIT));
        let mut folders = vec![model.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("a folder").flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let inside = path.strip_prefix(model).expect("inside the model");
                let same = fs::read(snapshot.join(inside)).ok() == fs::read(&path).ok();
                assert!(same, "{} is another", inside.display());
            }
        }
        let main = fs::read_to_string(self.in_cache("refs/main")).ok();
        assert_eq!(main.as_deref(), Some(COMMIT));
        for blob in fs::read_dir(self.in_cache("blobs"))
            .expect("blobs")
            .flatten()
        {
            let name = blob.file_name().into_string().unwrap_or_default();
            assert!(!name.contains(".kinora."), "left {name}");
        }
        let ends = [&self.seen.done, &self.seen.total].map(|n| n.load(Ordering::Relaxed));
        assert_eq!(ends[0], ends[1]);
    }
}
