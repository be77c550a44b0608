//! Text to tokens, by the `tokenizer.json` or the SentencePiece model that the model ships.

use std::fmt;

use tokenizers::tokenizer::PostProcessor;
use tokenizers::{Encoding, Tokenizer as Inner};

use super::charsmap::check_json;
use super::clean::PROMPT_LIMIT;
use super::sentencepiece::tokenizer_json;
use crate::error::{ConfigError, mistaken};
use crate::panics::guarded;

/// The most tokens of a prompt that a Wan model reads, the closing `</s>` included.
pub const MAX_TOKENS: usize = 512;

/// The longest ending, in letters, that is taken for an inflection of the same word.
const ENDING: usize = 3;

/// A model's tokenizer: for the released models UMT5's Unigram of 256,300 entries, whose
/// `</s>` (id 1) closes every prompt.
pub struct Tokenizer {
    file: String,
    inner: Inner,
}

/// A prompt's tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// The ids, `</s>` last.
    pub ids: Vec<u32>,
    /// Where the prompt was cut, if it was too long.
    pub cut: Option<Cut>,
}

/// Where a prompt that is too long was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The bytes of the text that were read; what follows was not.
    pub byte: usize,
    /// The tokens that the whole prompt would have been, `</s>` included.
    pub tokens: usize,
}

impl Tokenizer {
    /// Reads the `tokenizer.json`, or the SentencePiece model (`spiece.model`), in `bytes`; `file` is
    /// its name for messages.
    ///
    /// # Errors
    /// [`ConfigError::Tokenizer`] with the library's reason.
    pub fn from_bytes(file: &str, bytes: &[u8]) -> Result<Self, ConfigError> {
        let failed = |reason: tokenizers::Error| ConfigError::Tokenizer {
            file: file.to_owned(),
            reason: reason.to_string(),
        };
        if let Some(found) = mistaken(bytes) {
            return Err(failed(format!("it is {found}").into()));
        }
        // A SentencePiece model begins with its first piece, field 1; JSON with a brace.
        let is_json = bytes.trim_ascii_start().starts_with(b"{");
        let made = match bytes.first() {
            Some(0x0a) if !is_json => Some(tokenizer_json(bytes).map_err(|e| failed(e.into()))?),
            _ => None,
        };
        let json = made.as_deref().unwrap_or(bytes);
        if made.is_none() {
            check_json(json).map_err(|e| failed(e.into()))?;
        }
        let mut inner = caught(|| Inner::from_bytes(json)).map_err(failed)?;
        // The file may set its own padding or truncation; the pipeline overrides both.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(failed)?;
        Ok(Self {
            file: file.to_owned(),
            inner,
        })
    }

    /// The number of entries; the ids are smaller.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Whether a word is one piece, or one and an ending of at most three letters such as a plural's.
    ///
    /// # Errors
    /// [`ConfigError::Tokenizer`] for what the library cannot encode.
    pub fn knows(&self, word: &str) -> Result<bool, ConfigError> {
        let failed = |reason: tokenizers::Error| ConfigError::Tokenizer {
            file: self.file.clone(),
            reason: reason.to_string(),
        };
        let encoding = caught(|| self.inner.encode(word, false)).map_err(failed)?;
        let first = encoding
            .get_offsets()
            .iter()
            .find(|(start, end)| start < end);
        let known = first.map_or(0, |&(_, end)| end);
        let rest = word
            .get(known..)
            .map_or(usize::MAX, |rest| rest.chars().count());
        Ok(rest == 0 || rest <= ENDING && word.chars().count() > 2 * ENDING.min(rest))
    }

    /// The tokens of `text`, which [`clean`](super::clean::clean) has been through, at most
    /// `max_tokens` of them. A longer text keeps its first tokens and the closing `</s>`, as the
    /// reference's truncation does.
    ///
    /// # Errors
    /// [`ConfigError::Prompt`] for a text beyond [`PROMPT_LIMIT`], [`ConfigError::Tokenizer`] for
    /// what the library cannot encode.
    pub fn encode(&self, text: &str, max_tokens: usize) -> Result<Tokens, ConfigError> {
        if text.len() > PROMPT_LIMIT {
            return Err(ConfigError::Prompt {
                len: text.len(),
                limit: PROMPT_LIMIT,
            });
        }
        let failed = |reason: tokenizers::Error| ConfigError::Tokenizer {
            file: self.file.clone(),
            reason: reason.to_string(),
        };
        let (encoding, cut) = caught(|| self.encoded(text, max_tokens)).map_err(failed)?;
        Ok(Tokens {
            ids: encoding.get_ids().to_vec(),
            cut,
        })
    }

    /// The tokens of `text` by the library, and where it was cut.
    fn encoded(
        &self,
        text: &str,
        max_tokens: usize,
    ) -> tokenizers::Result<(Encoding, Option<Cut>)> {
        let mut encoding = self.inner.encode(text, false)?;
        // The post-processor's own tokens: `</s>`.
        let closing = self
            .inner
            .get_post_processor()
            .map_or(0, |post| post.added_tokens(false));
        let room = max_tokens.saturating_sub(closing);
        let cut = (encoding.len() > room).then(|| Cut {
            byte: match room.checked_sub(1) {
                None => 0,
                Some(last) => encoding.get_offsets().get(last).map_or(0, |&(_, end)| end),
            },
            tokens: encoding.len() + closing,
        });
        encoding.truncate(room, 0, tokenizers::TruncationDirection::Right);
        let encoding = self.inner.post_process(encoding, None, true)?;
        Ok((encoding, cut))
    }
}

/// Runs `work` and turns a panic into an error, since the tokenizers library panics on some malformed
/// files.
fn caught<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> tokenizers::Result<T> {
    guarded(work)
        .unwrap_or_else(|_| Err("the tokenizers library cannot work with this file".into()))
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer")
            .field("file", &self.file)
            .field("vocab_size", &self.vocab_size())
            .finish_non_exhaustive()
    }
}
