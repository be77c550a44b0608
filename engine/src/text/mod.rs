//! A prompt's text: cleaning as the reference does it, and tokens.

mod charsmap;
pub mod clean;
pub mod decoded;
mod sentencepiece;
pub mod tokenizer;
pub mod unigram;
