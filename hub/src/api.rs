//! Queries the hub about a repository.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use crate::backoff::{Backoff, pause};
use crate::cache::{Blob, Folder};
use crate::error::HubError;
use crate::http::{Answer, Client};
use crate::partial;
use crate::{Hub, Observer, Repo, select};

/// Tries before a hub that cannot be reached, or is busy, is given up.
const TRIES: u32 = 4;
/// No description of a repository is longer: 16 MiB.
const LIMIT: u64 = 1 << 24;
/// What needs no escape in an address.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// The files that a download of a model would fetch.
#[derive(Debug)]
pub struct Download {
    pub(crate) repo: Repo,
    pub(crate) commit: String,
    pub(crate) licence: Option<String>,
    pub(crate) blobs: Vec<Blob>,
    files: Vec<RemoteFile>,
}

/// A file of a [`Download`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RemoteFile {
    /// Its path in the repository, with `/`.
    pub path: String,
    /// Its length in bytes.
    pub size: u64,
    /// How many of them are on this machine.
    pub here: u64,
}

impl Download {
    /// The repository and the revision asked for.
    #[must_use]
    pub fn repo(&self) -> &Repo {
        &self.repo
    }

    /// The commit that the revision refers to now.
    #[must_use]
    pub fn commit(&self) -> &str {
        &self.commit
    }

    /// The licence, as the repository's card names it: `apache-2.0` say.
    #[must_use]
    pub fn licence(&self) -> Option<&str> {
        self.licence.as_deref()
    }

    /// The files that the engine reads.
    #[must_use]
    pub fn files(&self) -> &[RemoteFile] {
        &self.files
    }

    /// Bytes in all.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.blobs.iter().map(|blob| blob.size).sum()
    }

    /// Bytes that are still to come.
    #[must_use]
    pub fn missing(&self) -> u64 {
        // By content: two files may be equal.
        let missing = |blob: &Blob| blob.size - self.here(blob);
        self.blobs.iter().map(missing).sum()
    }

    /// Bytes of a blob that were on this machine at the time of the query.
    pub(crate) fn here(&self, blob: &Blob) -> u64 {
        let file = self.files.iter().find(|file| file.path == blob.name());
        file.map_or(0, |file| file.here)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    sha: String,
    card_data: Option<Card>,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Card {
    license: Option<serde_json::Value>,
    license_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: String,
    size: u64,
}

impl Hub {
    /// Lists the files that a download of `repo` would fetch and checks which of them are present. The
    /// `observer` may cancel while waiting for a busy hub.
    ///
    /// # Errors
    /// A [`HubError`] for everything that would keep the download from succeeding.
    pub fn inspect(&self, repo: &Repo, observer: &dyn Observer) -> Result<Download, HubError> {
        if self.offline {
            return Err(HubError::Offline {
                repo: repo.to_string(),
            });
        }
        let client = Client::new(self)?;
        let revision = utf8_percent_encode(repo.revision(), PLAIN);
        let url = format!(
            "{}/api/models/{}/revision/{revision}?blobs=true",
            self.endpoint,
            repo.name()
        );
        let mut backoff = Backoff::new(TRIES);
        let answer = loop {
            match client.get(&url, None) {
                Ok(answer) => break answer,
                Err(failure) => {
                    pause(backoff.after(failure)?, &|| observer.is_cancelled())?;
                }
            }
        };
        if answer.status != 200 {
            return Err(self.refusal(&client, repo, &answer));
        }
        let wrong = |found: String| HubError::Answer {
            url: url.clone(),
            found,
            expected: "the list of a model's files",
        };
        let body = answer
            .response
            .into_body()
            .into_with_config()
            .limit(LIMIT)
            .read_to_vec();
        let body = body.map_err(|error| wrong(error.to_string()))?;
        let info: Info = serde_json::from_slice(&body).map_err(|error| wrong(error.to_string()))?;
        let is_hex = |text: &str, digits: &[usize]| {
            digits.contains(&text.len())
                && text
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        if !is_hex(&info.sha, &[40, 64]) {
            return Err(wrong(format!("{:?} for a commit", info.sha)));
        }
        let paths: Vec<&str> = info
            .siblings
            .iter()
            .map(|sibling| sibling.rfilename.as_str())
            .collect();
        let needed = select::needed(&paths).map_err(|reason| HubError::NotAModel {
            repo: repo.to_string(),
            reason,
        })?;
        // By hash: equal files are fetched once.
        let mut blobs: BTreeMap<String, Blob> = BTreeMap::new();
        for sibling in &info.siblings {
            let path = &sibling.rfilename;
            if !needed.contains(&path.as_str()) {
                continue;
            }
            if !is_plain(path) {
                return Err(wrong(format!("a file {path:?}")));
            }
            let (hash, size) = match (&sibling.lfs, &sibling.blob_id, sibling.size) {
                (Some(lfs), ..) if is_hex(&lfs.sha256, &[64]) => (&lfs.sha256, lfs.size),
                (None, Some(id), Some(size)) if is_hex(id, &[40]) => (id, size),
                _ => return Err(wrong(format!("no length or hash for {path}"))),
            };
            let blob = blobs.entry(hash.clone()).or_insert_with(|| Blob {
                hash: hash.clone(),
                size,
                paths: Vec::new(),
            });
            blob.paths.push(path.clone());
        }
        let mut blobs: Vec<Blob> = blobs.into_values().collect();
        // Small files first, so that faulty configurations are found before the weights are fetched.
        blobs.sort_by(|a, b| (a.size, a.name()).cmp(&(b.size, b.name())));
        let folder = Folder::new(self, repo);
        let mut files: Vec<RemoteFile> = Vec::new();
        for blob in &blobs {
            let here = match folder.has(blob, &info.sha) {
                true => blob.size,
                false => partial::there(&folder, blob).bytes(),
            };
            files.extend(blob.paths.iter().map(|path| RemoteFile {
                path: path.clone(),
                size: blob.size,
                here,
            }));
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Download {
            repo: repo.clone(),
            commit: info.sha,
            licence: info.card_data.and_then(Card::licence),
            blobs,
            files,
        })
    }

    /// Where the content of a file is asked for.
    pub(crate) fn address(&self, download: &Download, path: &str) -> String {
        let path: Vec<String> = path
            .split('/')
            .map(|part| utf8_percent_encode(part, PLAIN).to_string())
            .collect();
        let (repo, commit) = (download.repo.name(), &download.commit);
        format!(
            "{}/{repo}/resolve/{commit}/{}",
            self.endpoint,
            path.join("/")
        )
    }

    /// The error that an unsuccessful status means for `repo`. A header of the hub distinguishes causes,
    /// because it also answers 401 for repositories that may be private.
    pub(crate) fn refusal(&self, client: &Client, repo: &Repo, answer: &Answer) -> HubError {
        let endpoint = self.endpoint.clone();
        let name = repo.name().to_owned();
        match (answer.header("x-error-code"), answer.status) {
            (Some("GatedRepo"), _) => HubError::Gated {
                repo: name,
                endpoint,
            },
            (Some("RevisionNotFound"), _) => HubError::NoRevision {
                repo: name,
                revision: repo.revision().to_owned(),
                endpoint,
            },
            (Some("RepoNotFound"), _) | (None, 404) => HubError::NoRepository {
                repo: name,
                endpoint,
            },
            (_, status @ (401 | 403)) => HubError::Denied {
                repo: name,
                endpoint,
                status,
                hint: match client.has_token() {
                    true => {
                        "the token in HF_TOKEN (or in the file of 'hf auth login') is not accepted for it: make a new one, or unset it for a public model"
                    }
                    false => "set HF_TOKEN to a token of an account that may read it",
                },
            },
            (_, status) => HubError::Answer {
                url: answer.url.clone(),
                found: format!("status {status}"),
                expected: "200",
            },
        }
    }
}

impl Card {
    fn licence(self) -> Option<String> {
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        match self.license? {
            serde_json::Value::Array(all) => {
                Some(all.iter().filter_map(text).collect::<Vec<_>>().join(", "))
            }
            // A licence of the authors' own has its name beside it.
            other => text(&other).map(|named| match (named.as_str(), self.license_name) {
                ("other", Some(name)) => name,
                _ => named,
            }),
        }
    }
}

/// Whether a path that a server names stays inside the folder it is put into.
fn is_plain(path: &str) -> bool {
    let part = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', ':', '\0']);
    path.split('/').all(part)
}
