//! The vocabulary that a GGUF text encoder carries, as a `tokenizer.json`.
//!
//! llama.cpp's converter fills the ids up to the rows of the embedding with pieces that it marks as
//! unused, and adds T5's `<extra_id_N>` as user-defined ones.

use crate::text::unigram::{Piece, Unigram};
use crate::weights::GgufTokenizer;

/// The `tokenizer.json` of a vocabulary in a GGUF's keys, which gives the same ids.
///
/// # Errors
/// A sentence that says what is missing or wrong.
pub fn gguf_tokenizer_json(found: &GgufTokenizer<'_>) -> Result<Vec<u8>, String> {
    // Kinds of tokens.
    const UNKNOWN: u32 = 2;
    const CONTROL: u32 = 3;
    const USER_DEFINED: u32 = 4;
    const UNUSED: u32 = 5;
    if found.model != "t5" {
        let model = if found.model.is_empty() {
            "absent"
        } else {
            found.model
        };
        return Err(format!("its tokenizer.ggml.model is {model}, expected t5"));
    }
    let count = found.tokens.len();
    for (what, length) in [
        ("scores", found.scores.len()),
        ("token_type", found.kinds.len()),
    ] {
        if length != count {
            return Err(format!("it has {count} tokens, but {length} in {what}"));
        }
    }
    let kinds = found.kinds.iter().copied();
    // Converters fill the vocabulary up to the rows of the embedding.
    let filled = kinds
        .clone()
        .rev()
        .take_while(|&kind| kind == UNUSED)
        .count();
    let mut model = Unigram {
        unknown: found
            .unknown
            .or_else(|| kinds.clone().position(|kind| kind == UNKNOWN)),
        close: found
            .eos
            .or_else(|| found.tokens.iter().position(|token| *token == "</s>")),
        charsmap: found.charsmap,
        space_prefix: found.space_prefix.unwrap_or(true),
        ..Unigram::default()
    };
    let tokens = found.tokens.iter().zip(&found.scores).zip(kinds);
    for ((&text, &score), kind) in tokens.take(count - filled) {
        model.push(match kind {
            UNUSED => Piece::Unused,
            UNKNOWN | CONTROL => Piece::Special(text),
            // T5's own, which its SentencePiece model does not have.
            USER_DEFINED if text.starts_with("<extra_id_") => Piece::Special(text),
            _ => Piece::Text(text, score.into()),
        })?;
    }
    model.to_json()
}
