//! How models are called.

use std::fmt::{self, Display};
use std::str::FromStr;

use crate::error::HubError;

/// Short names and their repositories.
pub const SHORT_NAMES: &[(&str, &str)] = &[
    ("wan2.1-1.3b", "Wan-AI/Wan2.1-T2V-1.3B-Diffusers"),
    ("wan2.1-14b", "Wan-AI/Wan2.1-T2V-14B-Diffusers"),
    ("wan2.2-a14b", "Wan-AI/Wan2.2-T2V-A14B-Diffusers"),
    ("wan2.2-5b", "Wan-AI/Wan2.2-TI2V-5B-Diffusers"),
    ("wan2.1-i2v-14b", "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers"),
    (
        "wan2.1-i2v-14b-720p",
        "Wan-AI/Wan2.1-I2V-14B-720P-Diffusers",
    ),
    ("wan2.1-flf2v-14b", "Wan-AI/Wan2.1-FLF2V-14B-720P-diffusers"),
    ("wan2.2-i2v-a14b", "Wan-AI/Wan2.2-I2V-A14B-Diffusers"),
    ("fastwan2.1-1.3b", "FastVideo/FastWan2.1-T2V-1.3B-Diffusers"),
    (
        "fastwan2.2-5b",
        "FastVideo/FastWan2.2-TI2V-5B-FullAttn-Diffusers",
    ),
];

/// The revision that is meant where none is named.
const MAIN: &str = "main";

/// A repository of the hub at a revision: `OWNER/NAME`, `OWNER/NAME@REVISION`, or a short name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repo {
    name: String,
    revision: String,
}

impl Repo {
    /// `OWNER/NAME`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A branch, a tag or a commit.
    #[must_use]
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// The same repository at another branch, tag or commit.
    ///
    /// # Errors
    /// [`HubError::Name`] if this cannot be the name of a revision.
    pub fn at(self, revision: &str) -> Result<Self, HubError> {
        let whole = format!("{}@{revision}", self.name);
        if !is_revision(revision) {
            return Err(unknown(&whole));
        }
        Ok(Self {
            revision: revision.to_owned(),
            ..self
        })
    }

    /// Its folder in the cache.
    pub(crate) fn folder(&self) -> String {
        format!("models--{}", self.name.replace('/', "--"))
    }

    /// The repository whose folder in the cache is called so.
    pub(crate) fn of_folder(folder: &str) -> Option<Self> {
        let (owner, name) = folder.strip_prefix("models--")?.split_once("--")?;
        format!("{owner}/{name}").parse().ok()
    }
}

impl FromStr for Repo {
    type Err = HubError;

    fn from_str(text: &str) -> Result<Self, HubError> {
        let (name, revision) = text.split_once('@').unwrap_or((text, MAIN));
        let short = SHORT_NAMES.iter().find(|(short, _)| *short == name);
        let name = short.map_or(name, |(_, repo)| repo);
        let parts: Vec<&str> = name.split('/').collect();
        if parts.len() != 2 || !parts.iter().all(|part| is_part(part)) || !is_revision(revision) {
            return Err(unknown(text));
        }
        Ok(Self {
            name: name.to_owned(),
            revision: revision.to_owned(),
        })
    }
}

impl Display for Repo {
    /// As it is typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.revision.as_str() {
            MAIN => f.write_str(&self.name),
            revision => write!(f, "{}@{revision}", self.name),
        }
    }
}

/// The hub's own rule for owners and names, which keeps paths and addresses safe too.
fn is_part(part: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=96).contains(&part.len())
        && part.chars().all(plain)
        && !part.starts_with(['-', '.'])
        && !part.ends_with(['-', '.'])
        && !part.contains("--")
        && !part.contains("..")
}

fn is_revision(revision: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+');
    let part = |part: &str| !part.is_empty() && part.chars().all(plain) && !part.starts_with('.');
    revision.len() <= 200 && revision.split('/').all(part)
}

fn unknown(found: &str) -> HubError {
    let known: Vec<&str> = SHORT_NAMES.iter().map(|(short, _)| *short).collect();
    HubError::Name {
        found: found.to_owned(),
        known: known.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_people_write_them() {
        let repo: Repo = "wan2.1-1.3b".parse().unwrap();
        assert_eq!(repo.to_string(), "Wan-AI/Wan2.1-T2V-1.3B-Diffusers");
        assert_eq!(repo.folder(), "models--Wan-AI--Wan2.1-T2V-1.3B-Diffusers");
        assert_eq!(Repo::of_folder(&repo.folder()), Some(repo));
        let repo: Repo = "a/b@refs/pr/1".parse().unwrap();
        assert_eq!((repo.name(), repo.revision()), ("a/b", "refs/pr/1"));
        for bad in [
            "",
            "a",
            "a/b/c",
            "/b",
            "a/",
            "../b",
            "a/..",
            "a/b@",
            "a/b@../c",
            "a b/c",
            "a--b/c",
            "https://x/y",
            "a/b@x//y",
        ] {
            assert!(bad.parse::<Repo>().is_err(), "{bad}");
        }
    }
}
