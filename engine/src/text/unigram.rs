//! A Unigram vocabulary (Kudo 2018) as a `tokenizer.json`, from a SentencePiece model or a GGUF file.
//!
//! Reference: `SpmConverter` and `T5Converter` of transformers, and their result for UMT5.
//! Spaces are always folded, as there, whatever the model declares; cleaned prompts have none to fold.

use serde_json::{Value, json};

use super::charsmap;

/// More than any vocabulary has; UMT5's has 256,000.
const PIECES_LIMIT: usize = 4_000_000;

/// An entry of the vocabulary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Piece<'t> {
    /// What text is cut into, with its log probability.
    Text(&'t str, f64),
    /// A special token, such as `</s>`, which is never part of another piece.
    Special(&'t str),
    /// An unused id, to which no text is mapped.
    Unused,
}

/// A vocabulary: the pieces by their ids.
#[derive(Clone, Debug)]
pub struct Unigram<'t> {
    /// By id.
    pub pieces: Vec<Piece<'t>>,
    /// The id of text that no piece covers.
    pub unknown: Option<usize>,
    /// The id of `</s>`, which closes every prompt.
    pub close: Option<usize>,
    /// SentencePiece's map of characters; empty where there is none.
    pub charsmap: &'t [u8],
    /// Whether text begins with a space.
    pub space_prefix: bool,
}

impl Default for Unigram<'_> {
    fn default() -> Self {
        Self {
            pieces: Vec::new(),
            unknown: None,
            close: None,
            charsmap: &[],
            space_prefix: true,
        }
    }
}

impl<'t> Unigram<'t> {
    /// Adds the piece of the next id.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn push(&mut self, piece: Piece<'t>) -> Result<(), String> {
        if self.pieces.len() >= PIECES_LIMIT {
            return Err(format!("it has more than {PIECES_LIMIT} pieces"));
        }
        match piece {
            Piece::Text(text, score) if !score.is_finite() => {
                Err(format!("the score of {text:?} is no number"))
            }
            piece => {
                self.pieces.push(piece);
                Ok(())
            }
        }
    }

    /// The `tokenizer.json` that gives the same ids.
    ///
    /// # Errors
    /// A sentence that says what is missing or wrong.
    pub fn to_json(&self) -> Result<Vec<u8>, String> {
        let mut vocabulary = Vec::with_capacity(self.pieces.len());
        let mut added = Vec::new();
        for (id, piece) in self.pieces.iter().enumerate() {
            vocabulary.push(match *piece {
                Piece::Text(text, score) => json!([text, score]),
                Piece::Special(text) => {
                    added.push(json!({
                        "id": id, "content": text, "single_word": false, "lstrip": false,
                        "rstrip": false, "normalized": false, "special": true,
                    }));
                    json!([text, 0.0])
                }
                // Every space has become another character before pieces are looked for.
                Piece::Unused => json!([format!(" {id}"), -1000.0]),
            });
        }
        let unknown = self.unknown.filter(|&id| id < self.pieces.len());
        let unknown = unknown.ok_or("it has no piece for unknown text")?;
        let (close, end) = match self.close.map(|id| (id, self.pieces.get(id))) {
            Some((id, Some(Piece::Text(text, _) | Piece::Special(text)))) => (id, *text),
            _ => return Err("it has no piece </s>".to_owned()),
        };
        let mut normalizers = Vec::new();
        if !self.charsmap.is_empty() {
            normalizers.push(charsmap::normalizer(self.charsmap)?);
        }
        let spaces = json!({ "type": "Replace", "pattern": { "Regex": " {2,}" }, "content": " " });
        normalizers.push(spaces);
        let metaspace = json!({
            "type": "Metaspace", "replacement": "▁", "add_prefix_space": self.space_prefix,
        });
        let single: [Value; 2] = [
            json!({ "Sequence": { "id": "A", "type_id": 0 } }),
            json!({ "SpecialToken": { "id": end, "type_id": 0 } }),
        ];
        let tokenizer = json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": added,
            "normalizer": { "type": "Sequence", "normalizers": normalizers },
            "pre_tokenizer": metaspace,
            "post_processor": {
                "type": "TemplateProcessing",
                "single": single,
                "pair": single,
                "special_tokens": { end: { "id": end, "ids": [close], "tokens": [end] } },
            },
            "decoder": metaspace,
            "model": {
                "type": "Unigram",
                "unk_id": unknown,
                "vocab": vocabulary,
                "byte_fallback": false,
            },
        });
        Ok(tokenizer.to_string().into_bytes())
    }
}
