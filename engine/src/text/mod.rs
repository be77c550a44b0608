//! A prompt's text: cleaning as the reference does it, and tokens.

mod charsmap;
pub mod clean;
mod sentencepiece;
pub mod tokenizer;
pub mod unigram;
