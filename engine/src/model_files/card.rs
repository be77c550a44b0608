//! A model's training range, from its `kinora.json`. A run outside of it is allowed, with a note.

use crate::error::ConfigError;
use crate::models::config::fields::Fields;

/// A model's training range, according to its authors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Card {
    /// A sentence for people about the model and the subjects it can show.
    pub about: Option<String>,
    /// Width and height of its training pictures; empty if unknown.
    pub sizes: Vec<[usize; 2]>,
    /// The longest clips that it learned from, in frames.
    pub most_frames: Option<usize>,
    /// Whether the whole pieces of its tokenizer are all the words that it learned.
    pub words_of_tokenizer: bool,
}

/// The fields of `kinora.json` that make up the card.
pub(super) const FIELDS: [&str; 4] = ["about", "sizes", "most_frames", "words"];

impl Card {
    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, ConfigError> {
        let most_frames = match fields.given("most_frames") {
            None => None,
            Some(_) => Some(fields.count("most_frames", None, 1..=1_000_000)?),
        };
        let words = fields.text("words")?;
        if words.is_some_and(|words| words != "tokenizer") {
            return Err(fields.wrong("words", "\"tokenizer\""));
        }
        Ok(Self {
            about: fields.text("about")?.map(str::to_owned),
            sizes: sizes(fields)?,
            most_frames,
            words_of_tokenizer: words.is_some(),
        })
    }
}

/// A list of sizes, such as `[[224, 128], [128, 224]]`.
fn sizes(fields: &Fields<'_>) -> Result<Vec<[usize; 2]>, ConfigError> {
    let Some(value) = fields.given("sizes") else {
        return Ok(Vec::new());
    };
    let side = |side: &serde_json::Value| usize::try_from(side.as_u64()?).ok();
    let size = |size: &serde_json::Value| match size.as_array()?.as_slice() {
        [width, height] => Some([side(width)?, side(height)?]),
        _ => None,
    };
    let sizes = value.as_array().map(|sizes| sizes.iter().map(size));
    let sizes = sizes.and_then(|sizes| sizes.collect::<Option<Vec<_>>>());
    sizes.ok_or_else(|| fields.wrong("sizes", "a list of [width, height]"))
}
