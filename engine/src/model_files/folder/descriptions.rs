//! A model's files other than its weights, which a copy starts with.

use std::borrow::Cow;

use super::{ModelFolder, tokenizer};
use crate::error::ConfigError;

/// A file's path in the diffusers layout, and its bytes.
type Description = (String, Cow<'static, [u8]>);

impl ModelFolder {
    /// All files of the model but its weights, by their paths in the diffusers layout.
    ///
    /// # Errors
    /// A file that is missing or cannot be read.
    pub(crate) fn descriptions(&self) -> Result<Vec<Description>, ConfigError> {
        let index = "model_index.json".to_owned();
        let mut all = vec![(index.clone(), self.config_json(&index)?.1)];
        for part in self.parts() {
            let path = format!("{part}/config.json");
            let (_, text) = self.config_json(&path)?;
            all.push((path, text));
        }
        let scheduler = "scheduler/scheduler_config.json".to_owned();
        all.push((scheduler, self.scheduler_json()?.1));
        let defaults = "kinora.json";
        if self.contains(defaults) {
            all.push((defaults.to_owned(), self.config_json(defaults)?.1));
        }
        // A SentencePiece model where there is no other; JSON begins with a brace.
        let (_, bytes) = self.tokenizer_json()?;
        let json = bytes.trim_ascii_start().first() == Some(&b'{');
        let name = if json {
            "tokenizer.json"
        } else {
            "spiece.model"
        };
        all.push((format!("tokenizer/{name}"), bytes));
        // What the reference's tokenizer reads beside it.
        for name in ["tokenizer_config.json", "special_tokens_map.json"] {
            let path = format!("tokenizer/{name}");
            if self.contains(&path) {
                let bytes = self.named(&path, tokenizer::LIMIT)?.1;
                all.push((path, bytes));
            }
        }
        Ok(all)
    }
}
