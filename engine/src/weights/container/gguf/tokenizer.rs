//! The tokenizer that a GGUF file carries in its keys (`tokenizer.ggml.…`, by llama.cpp's
//! `convert_hf_to_gguf.py`).

use super::value::Value;
use super::{Cursor, MAGIC, counts};
use crate::error::{GgufFault, WeightsError};
use crate::weights::container::shown;

/// Before the keys of a tokenizer.
const KEYS: &str = "tokenizer.ggml.";

/// A tokenizer as its file has it: nothing of it is checked but that it can be read.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct GgufTokenizer<'f> {
    /// `model`: `t5` for a Unigram.
    pub model: &'f str,
    /// `tokens`
    pub tokens: Vec<&'f str>,
    /// `scores`
    pub scores: Vec<f32>,
    /// `token_type`: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 a byte.
    pub kinds: Vec<u32>,
    /// `precompiled_charsmap`; empty where there is none.
    pub charsmap: &'f [u8],
    /// `add_space_prefix`
    pub space_prefix: Option<bool>,
    /// `eos_token_id`
    pub eos: Option<usize>,
    /// `unknown_token_id`
    pub unknown: Option<usize>,
}

/// Reads the tokenizer of `bytes`, the beginning of a GGUF `file`; `None` where it carries none.
///
/// # Errors
/// Keys that are cut off or of other types.
pub(in crate::weights) fn tokenizer<'f>(
    file: &str,
    bytes: &'f [u8],
) -> Result<Option<GgufTokenizer<'f>>, WeightsError> {
    if !bytes.starts_with(MAGIC) {
        return Ok(None);
    }
    read(bytes).map_err(|fault| WeightsError::Gguf {
        file: file.to_owned(),
        fault,
    })
}

fn read(bytes: &[u8]) -> Result<Option<GgufTokenizer<'_>>, GgufFault> {
    let mut cursor = Cursor::new(bytes);
    let (_, pairs) = counts(&mut cursor)?;
    let mut found = GgufTokenizer::default();
    for _ in 0..pairs {
        let key = cursor.text("a key")?;
        match key.strip_prefix(KEYS) {
            Some("tokens") => {
                found.tokens = list(&mut cursor, key, 8, |cursor, _| cursor.text(key_of(8)))?;
            }
            Some("scores") => {
                found.scores = list(&mut cursor, key, 4, |cursor, kind| {
                    match Value::scalar(cursor, key, kind)? {
                        Value::Float(score) => Ok(score as f32),
                        _ => Err(wrong(key, "floats")),
                    }
                })?;
            }
            Some("token_type") => {
                found.kinds = list(&mut cursor, key, 1, |cursor, kind| {
                    let value = Value::scalar(cursor, key, kind)?;
                    let kind = value.whole().and_then(|kind| u32::try_from(kind).ok());
                    kind.ok_or_else(|| wrong(key, "whole numbers"))
                })?;
            }
            Some("precompiled_charsmap") => found.charsmap = bytes_of(&mut cursor, key)?,
            name => {
                let value = Value::read(&mut cursor, key)?;
                let id = value.whole().and_then(|id| usize::try_from(id).ok());
                match (name, value) {
                    (Some("model"), Value::Text(model)) => found.model = model,
                    (Some("add_space_prefix"), Value::Bool(adds)) => {
                        found.space_prefix = Some(adds);
                    }
                    (Some("eos_token_id"), _) => found.eos = id,
                    (Some("unknown_token_id"), _) => found.unknown = id,
                    _ => {}
                }
            }
        }
    }
    Ok((!found.tokens.is_empty()).then_some(found))
}

/// The key that a list with elements of `kind` belongs to, for messages.
const fn key_of(kind: u32) -> &'static str {
    match kind {
        8 => "a token",
        _ => "a list",
    }
}

/// A list whose elements take at least `least` bytes each; `each` is given their kind.
fn list<'f, T>(
    cursor: &mut Cursor<'f>,
    key: &str,
    least: usize,
    each: impl Fn(&mut Cursor<'f>, u32) -> Result<T, GgufFault>,
) -> Result<Vec<T>, GgufFault> {
    let kind = list_of(cursor, key)?;
    if (kind == 8) != (least == 8) {
        return Err(wrong(key, if least == 8 { "texts" } else { "numbers" }));
    }
    let count = cursor.u64("the length of a list")?;
    let count = cursor.count("a list", count, least)?;
    (0..count).map(|_| each(cursor, kind)).collect()
}

/// A list of bytes, signed or not.
fn bytes_of<'f>(cursor: &mut Cursor<'f>, key: &str) -> Result<&'f [u8], GgufFault> {
    if list_of(cursor, key)? > 1 {
        return Err(wrong(key, "bytes"));
    }
    let count = cursor.u64("the length of a list")?;
    let count = cursor.count("a list", count, 1)?;
    cursor.take("a list", count)
}

/// The kind of a list's elements.
fn list_of(cursor: &mut Cursor<'_>, key: &str) -> Result<u32, GgufFault> {
    const LIST: u32 = 9;
    match cursor.u32("a key's type")? {
        LIST => cursor.u32("the type of a list"),
        _ => Err(wrong(key, "a list")),
    }
}

fn wrong(key: &str, expected: &'static str) -> GgufFault {
    GgufFault::Value {
        key: shown(key),
        expected,
    }
}
