//! SentencePiece's `spiece.model`, which ComfyUI's text encoders carry, as a `tokenizer.json`.
//!
//! Reference: `sentencepiece_model.proto` of google/sentencepiece; `SpmConverter` and `T5Converter`
//! of transformers, and their result for UMT5.

use super::unigram::{Piece, Unigram};

/// `SentencePiece.Type` in the file.
const UNKNOWN: u64 = 2;
const CONTROL: u64 = 3;

/// A `tokenizer.json` that is equivalent to the model in `bytes`.
///
/// # Errors
/// A sentence that says what is wrong with the bytes.
pub(super) fn tokenizer_json(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut model = Unigram::default();
    for field in Fields(bytes) {
        match field? {
            // pieces
            (1, Wire::Bytes(piece)) => {
                let Entry { text, score, kind } = Entry::read(piece)?;
                let id = model.pieces.len();
                if kind == UNKNOWN {
                    model.unknown = Some(id);
                }
                if text == "</s>" {
                    model.close = Some(id);
                }
                model.push(match kind {
                    UNKNOWN | CONTROL => Piece::Special(text),
                    _ => Piece::Text(text, score),
                })?;
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
                        model.charsmap = map;
                    }
                }
            }
            _ => {}
        }
    }
    model.to_json()
}

/// One entry of the vocabulary.
struct Entry<'b> {
    text: &'b str,
    score: f64,
    kind: u64,
}

impl<'b> Entry<'b> {
    fn read(bytes: &'b [u8]) -> Result<Self, String> {
        let mut piece = Self {
            text: "",
            score: 0.0,
            kind: 1,
        };
        for field in Fields(bytes) {
            match field? {
                (1, Wire::Bytes(text)) => {
                    let text = std::str::from_utf8(text);
                    piece.text = text.map_err(|_| "a piece is not UTF-8")?;
                }
                (2, Wire::Word(bits)) => piece.score = f32::from_bits(bits).into(),
                (3, Wire::Number(kind)) => piece.kind = kind,
                _ => {}
            }
        }
        Ok(piece)
    }
}

/// The fields of a protobuf message: number and value.
struct Fields<'b>(&'b [u8]);

/// A value in the file.
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
            // A broken field hides where the next one begins, so stop here.
            self.0 = &[];
        }
        Some(field.ok_or_else(|| "it is truncated or not a SentencePiece model".to_owned()))
    }
}
