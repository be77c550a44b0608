//! What can go wrong on the way from the hub to the disk.

use std::io;
use std::path::PathBuf;

/// A failed download, as one sentence with a remedy. Fetched data stays on the disk, and the next
/// download continues from it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// A name that no repository can have.
    #[error(
        "{found:?} is not the name of a model: expected OWNER/NAME as on the hub, or one of {known}"
    )]
    Name {
        /// The name.
        found: String,
        /// The short names.
        known: String,
    },
    /// A repository that was never downloaded, or not at that revision.
    #[error("{repo} is neither a folder here nor a model in {}: download it first", cache.display())]
    NotHere {
        /// The repository, with its revision unless that is the usual one.
        repo: String,
        /// The cache's folder.
        cache: PathBuf,
    },
    /// No place for the cache.
    #[error("there is no home folder to keep models in: name a folder in HF_HOME")]
    NoHome,
    /// A token that no header can hold.
    #[error(
        "the token in {place} has {found} in it: expected one word that begins with hf_; copy it anew from the hub's settings, or remove it for a public model"
    )]
    Token {
        /// The variable or the file.
        place: String,
        /// What is wrong with it.
        found: &'static str,
    },
    /// A proxy that cannot be used.
    #[error(
        "{variable} names the proxy {address}, which cannot be used: {reason}; correct it, or unset it to go without one"
    )]
    Proxy {
        /// The variable.
        variable: &'static str,
        /// Its value, without name and password.
        address: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A proxy that lets nothing through.
    #[error("the proxy {proxy} refuses: {reason}")]
    ProxyRefuses {
        /// Its address and its variable.
        proxy: String,
        /// Its requirement.
        reason: String,
    },
    /// Downloads are forbidden.
    #[error("HF_HUB_OFFLINE is set, which forbids downloads: unset it to get {repo}")]
    Offline {
        /// The repository.
        repo: String,
    },
    /// A server that cannot be reached, or a connection that keeps breaking.
    #[error(
        "{host} cannot be reached: {reason}; check the network (HTTPS_PROXY names a proxy, HF_ENDPOINT a mirror) and download it again: it goes on from where it was"
    )]
    Network {
        /// The server.
        host: String,
        /// The system's reason.
        reason: String,
    },
    /// A server that has too much to do.
    #[error(
        "{host} still answers {status} ({meaning}) after {tries} tries: download it again {when}: it goes on from where it was"
    )]
    Busy {
        /// The server.
        host: String,
        /// 429, or one of the 500s.
        status: u16,
        /// The status in words.
        meaning: &'static str,
        /// How often it was asked.
        tries: u32,
        /// How long it wants to be left alone.
        when: String,
    },
    /// No such repository, or a private one.
    #[error(
        "there is no model {repo} at {endpoint}, or it is private: check the name, and set HF_TOKEN if it is private"
    )]
    NoRepository {
        /// The repository.
        repo: String,
        /// The hub.
        endpoint: String,
    },
    /// No such branch, tag or commit.
    #[error(
        "{repo} has no revision {revision}: expected a branch, a tag or a commit; {endpoint}/{repo}/commits/main lists them"
    )]
    NoRevision {
        /// The repository.
        repo: String,
        /// The revision.
        revision: String,
        /// The hub.
        endpoint: String,
    },
    /// A licence that has to be accepted first.
    #[error(
        "{repo} is gated: accept its licence at {endpoint}/{repo}, then set HF_TOKEN to a token of that account (from {endpoint}/settings/tokens)"
    )]
    Gated {
        /// The repository.
        repo: String,
        /// The hub.
        endpoint: String,
    },
    /// A token that is not accepted, or none.
    #[error("{endpoint} answers {status} for {repo}: {hint}")]
    Denied {
        /// The repository.
        repo: String,
        /// The hub.
        endpoint: String,
        /// 401 or 403.
        status: u16,
        /// What to do about it.
        hint: &'static str,
    },
    /// A file that the hub lists and does not have.
    #[error(
        "{file} is listed in {repo}, but {host} does not have it (404): try again, or choose another revision"
    )]
    NoFile {
        /// The file.
        file: String,
        /// The repository.
        repo: String,
        /// The server.
        host: String,
    },
    /// A redirect from https to http.
    #[error(
        "{url} leads on to {to} by http, which anybody on the way can read and change: refused, since the hub itself is asked by https; HF_ENDPOINT names another"
    )]
    OpenRedirect {
        /// What was asked.
        url: String,
        /// The server that it leads to.
        to: String,
    },
    /// An answer that makes no sense.
    #[error("{url} answers {found}, expected {expected}: is HF_ENDPOINT a Hugging Face hub?")]
    Answer {
        /// What was asked.
        url: String,
        /// What came.
        found: String,
        /// What should have come.
        expected: &'static str,
    },
    /// A repository with something else in it.
    #[error("{repo} is not a model that Kinora reads: {reason}")]
    NotAModel {
        /// The repository.
        repo: String,
        /// The missing part.
        reason: String,
    },
    /// A file of another length than the hub lists.
    #[error(
        "{file}: {host} sends {found} bytes, expected {expected} as the hub lists it: a proxy or mirror in between changes it; try another network or HF_ENDPOINT"
    )]
    Length {
        /// The file.
        file: String,
        /// The server.
        host: String,
        /// Its length in bytes.
        found: u64,
        /// The hub's.
        expected: u64,
    },
    /// A file whose content is not what the hub lists, twice.
    #[error(
        "{file} arrived damaged twice: its {algorithm} is {found}, expected {expected}; it was discarded. Try another network or HF_ENDPOINT"
    )]
    Checksum {
        /// The file.
        file: String,
        /// `sha256`, or `git blob sha1`.
        algorithm: &'static str,
        /// The content's.
        found: String,
        /// The hub's.
        expected: String,
    },
    /// Too little room.
    #[error("{} has {free} bytes free, but {needed} are needed: free some, or name a folder on another disk in HF_HOME", path.display())]
    Space {
        /// The cache's folder.
        path: PathBuf,
        /// Bytes to come.
        needed: u64,
        /// Bytes free.
        free: u64,
    },
    /// The disk filled up on the way.
    #[error("the disk is full at {}: free some room and download it again: it goes on from where it was", path.display())]
    DiskFull {
        /// The file that does not fit.
        path: PathBuf,
    },
    /// A file or folder of the cache that cannot be read or written.
    #[error("{}: {source}; HF_HOME names another folder for models", path.display())]
    File {
        /// The path.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// Stopped because that was asked.
    #[error("interrupted: what was fetched is kept, and the same download goes on from there")]
    Interrupted,
}
