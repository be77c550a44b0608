//! SentencePiece's `spiece.model`, which ComfyUI's text encoders carry, as a `tokenizer.json`.
//!
//! Reference: `sentencepiece_model.proto` of google/sentencepiece; `SpmConverter` and `T5Converter`
//! of transformers, and what they made of UMT5's.

use serde_json::{Value, json};

use super::charsmap;

/// More than any vocabulary has; UMT5's has 256,000.
const PIECES_LIMIT: usize = 4_000_000;

/// `SentencePiece.Type` in the file.
const UNKNOWN: u64 = 2;
const CONTROL: u64 = 3;

/// The `tokenizer.json` that does what the model in `bytes` does.
///
/// # Errors
/// A sentence that says what is wrong with the bytes.
pub(super) fn tokenizer_json(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut vocabulary = Vec::new();
    let mut added = Vec::new();
    let mut unknown = None;
    let mut close = None;
    let mut normalizers = Vec::new();
    for field in Fields(bytes) {
        match field? {
            // pieces
            (1, Wire::Bytes(piece)) => {
                let Piece { text, score, kind } = Piece::read(piece)?;
                let id = vocabulary.len();
                if id >= PIECES_LIMIT {
                    return Err(format!("it has more than {PIECES_LIMIT} pieces"));
                }
                if kind == UNKNOWN {
                    unknown = Some(id);
                }
                if text == "</s>" {
                    close = Some(id);
                }
                if matches!(kind, UNKNOWN | CONTROL) {
                    added.push(json!({
                        "id": id, "content": text, "single_word": false, "lstrip": false,
                        "rstrip": false, "normalized": false, "special": true,
                    }));
                }
                vocabulary.push(json!([text, score]));
            }
            // trainer_spec: model_type, 1 is Unigram
            (2, Wire::Bytes(spec)) => {
                for field in Fields(spec) {
                    if let (3, Wire::Number(kind @ 2..)) = field? {
                        return Err(format!("its model_type is {kind}, expected 1, Unigram"));
                    }
                }
            }
            // normalizer_spec: precompiled_charsmap
            (3, Wire::Bytes(spec)) => {
                for field in Fields(spec) {
                    if let (2, Wire::Bytes(map @ [_, ..])) = field? {
                        normalizers.push(charsmap::normalizer(map)?);
                    }
                }
            }
            _ => {}
        }
    }
    let unknown = unknown.ok_or("it has no piece for what is unknown")?;
    let close = close.ok_or("it has no piece </s>")?;
    let spaces = json!({ "type": "Replace", "pattern": { "Regex": " {2,}" }, "content": " " });
    normalizers.push(spaces);
    let single: [Value; 2] = [
        json!({ "Sequence": { "id": "A", "type_id": 0 } }),
        json!({ "SpecialToken": { "id": "</s>", "type_id": 0 } }),
    ];
    let tokenizer = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": { "type": "Sequence", "normalizers": normalizers },
        "pre_tokenizer": { "type": "Metaspace", "replacement": "▁", "add_prefix_space": true },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": single,
            "pair": single,
            "special_tokens": { "</s>": { "id": "</s>", "ids": [close], "tokens": ["</s>"] } },
        },
        "decoder": { "type": "Metaspace", "replacement": "▁", "add_prefix_space": true },
        "model": {
            "type": "Unigram",
            "unk_id": unknown,
            "vocab": vocabulary,
            "byte_fallback": false,
        },
    });
    Ok(tokenizer.to_string().into_bytes())
}

/// One entry of the vocabulary.
struct Piece {
    text: String,
    score: f64,
    kind: u64,
}

impl Piece {
    fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut piece = Self {
            text: String::new(),
            score: 0.0,
            kind: 1,
        };
        for field in Fields(bytes) {
            match field? {
                (1, Wire::Bytes(text)) => {
                    let text = std::str::from_utf8(text);
                    piece.text = text.map_err(|_| "a piece is not UTF-8")?.to_owned();
                }
                (2, Wire::Word(bits)) => piece.score = f32::from_bits(bits).into(),
                (3, Wire::Number(kind)) => piece.kind = kind,
                _ => {}
            }
        }
        if piece.score.is_finite() {
            Ok(piece)
        } else {
            Err(format!("the score of {:?} is no number", piece.text))
        }
    }
}

/// The fields of a protobuf message: number and value.
struct Fields<'b>(&'b [u8]);

/// A value as it lies in the file.
enum Wire<'b> {
    Number(u64),
    Bytes(&'b [u8]),
    Word(u32),
    Other,
}

impl<'b> Fields<'b> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, len: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn field(&mut self) -> Option<(u64, Wire<'b>)> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Wire::Number(self.varint()?),
            1 => self.take(8).map(|_| Wire::Other)?,
            2 => {
                let len = usize::try_from(self.varint()?).ok()?;
                Wire::Bytes(self.take(len)?)
            }
            5 => Wire::Word(u32::from_le_bytes(self.take(4)?.try_into().ok()?)),
            _ => return None,
        };
        Some((tag >> 3, value))
    }
}

impl<'b> Iterator for Fields<'b> {
    type Item = Result<(u64, Wire<'b>), String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            // Nothing can be read behind it.
            self.0 = &[];
        }
        Some(field.ok_or_else(|| "it is truncated or not a SentencePiece model".to_owned()))
    }
}
