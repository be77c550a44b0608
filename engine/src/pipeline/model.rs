//! An opened model: what is read of its files, each once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::family::Family;
use crate::counts::{Counted, count};
use crate::error::Error;
use crate::model_files::{ModelConfig, ModelFolder};
use crate::part::Part;
use crate::sampling::Scheduler;
use crate::text::clean::clean;
use crate::text::tokenizer::{MAX_TOKENS, Tokenizer, Tokens};
use crate::weights::{Checkpoint, bytes_fingerprint, combined_fingerprint};

/// A model's files and what was read from them. Checkpoints, tokenizer and hashes are read on first
/// use and kept.
#[derive(Debug)]
pub struct Model {
    folder: ModelFolder,
    family: Family,
    checkpoints: Mutex<BTreeMap<Part, Arc<Checkpoint>>>,
    tokenizer: OnceLock<Tokenizer>,
    scheduler: OnceLock<Scheduler>,
    fingerprint: OnceLock<String>,
    tokenizer_fingerprint: OnceLock<String>,
}

/// The value of a cell, made by `make` where it is empty.
fn once<T>(cell: &OnceLock<T>, make: impl FnOnce() -> Result<T, Error>) -> Result<&T, Error> {
    if let Some(value) = cell.get() {
        return Ok(value);
    }
    let value = make()?;
    Ok(cell.get_or_init(|| value))
}

impl Model {
    /// Reads a model's configuration; its weights are opened when a run needs them.
    ///
    /// # Errors
    /// A configuration file that is missing, corrupt, or asks for what the engine lacks.
    pub fn open(folder: ModelFolder) -> Result<Self, Error> {
        Ok(Self {
            family: Family::detect(&folder)?,
            folder,
            checkpoints: Mutex::default(),
            tokenizer: OnceLock::new(),
            scheduler: OnceLock::new(),
            fingerprint: OnceLock::new(),
            tokenizer_fingerprint: OnceLock::new(),
        })
    }

    /// Where the model's files are.
    pub fn folder(&self) -> &ModelFolder {
        &self.folder
    }

    /// Its family, with its configuration.
    pub fn family(&self) -> &Family {
        &self.family
    }

    /// Its configuration and defaults.
    pub fn config(&self) -> &ModelConfig {
        let Family::Wan(config) = &self.family;
        config
    }

    /// The weights of one of the model's own parts.
    ///
    /// # Errors
    /// As [`ModelFolder::checkpoint`].
    pub fn checkpoint(&self, part: Part) -> Result<Arc<Checkpoint>, Error> {
        let part = part.weights();
        let mut open = self
            .checkpoints
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(checkpoint) = open.get(&part) {
            return Ok(checkpoint.clone());
        }
        count(Counted::Opened(part));
        let checkpoint = Arc::new(self.folder.checkpoint(part.name())?);
        open.insert(part, checkpoint.clone());
        Ok(checkpoint)
    }

    /// Opens all parts' weights, which reads the heads of their files alone and needs no device.
    ///
    /// # Errors
    /// As [`checkpoint`](Self::checkpoint).
    pub fn open_weights(&self) -> Result<(), Error> {
        let mut parts = self.family.weights().into_iter();
        parts.try_for_each(|part| self.checkpoint(part).map(|_| ()))
    }

    /// The tokens of a prompt, cleaned as the reference does: the clean text, its tokens.
    ///
    /// # Errors
    /// A tokenizer that cannot be read.
    pub fn tokens(&self, prompt: &str) -> Result<(String, Tokens), Error> {
        count(Counted::Tokenised);
        let text = clean(prompt);
        let tokens = self.tokenizer()?.encode(&text, MAX_TOKENS)?;
        Ok((text, tokens))
    }

    fn tokenizer(&self) -> Result<&Tokenizer, Error> {
        once(&self.tokenizer, || {
            let (file, bytes) = self.folder.tokenizer_json()?;
            Ok(Tokenizer::from_bytes(&file, &bytes)?)
        })
    }

    /// Words of a clean prompt that the tokenizer spells in pieces, each once, in their order.
    pub(super) fn unknown_words(&self, text: &str) -> Result<Vec<String>, Error> {
        let tokenizer = self.tokenizer()?;
        let mut unknown: Vec<String> = Vec::new();
        for word in text.split_whitespace() {
            let word = word.trim_matches(|c: char| !c.is_alphanumeric());
            if !tokenizer.knows(word)? && !unknown.iter().any(|known| known == word) {
                unknown.push(word.to_owned());
            }
        }
        Ok(unknown)
    }

    /// The scheduler that the model's files describe.
    ///
    /// # Errors
    /// A scheduler's file that is missing, corrupt, or asks for what the sampler lacks.
    pub fn scheduler(&self) -> Result<&Scheduler, Error> {
        once(&self.scheduler, || {
            let (file, text) = self.folder.scheduler_json()?;
            let text = String::from_utf8_lossy(&text);
            Ok(Scheduler::from_json(&file, &text)?)
        })
    }

    /// A hash that identifies the model's weights, over headers, sizes and sampled blocks.
    ///
    /// # Errors
    /// Weights that cannot be opened.
    pub fn fingerprint(&self) -> Result<&str, Error> {
        let hash = once(&self.fingerprint, || {
            count(Counted::Fingerprint);
            let mut parts = Vec::new();
            for part in self.family.weights() {
                parts.push((part.name(), self.checkpoint(part)?.fingerprint()));
            }
            let parts = parts.iter().map(|(part, hash)| (*part, hash.as_str()));
            Ok(combined_fingerprint(parts))
        })?;
        Ok(hash)
    }

    /// The SHA-256 of the tokenizer's file, as 64 hexadecimal digits.
    ///
    /// # Errors
    /// A tokenizer that cannot be read.
    pub fn tokenizer_fingerprint(&self) -> Result<&str, Error> {
        let hash = once(&self.tokenizer_fingerprint, || {
            let (_, bytes) = self.folder.tokenizer_json()?;
            Ok(bytes_fingerprint(&bytes))
        })?;
        Ok(hash)
    }
}
