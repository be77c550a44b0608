//! Finds a model's tokenizer: in its folder, beside its text encoder, or inside its file.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::path::PathBuf;

use super::files::{Files, read_file};
use super::{Layout, ModelFolder};
use crate::error::{ConfigError, WeightsError};
use crate::model_files::gguf_vocabulary::gguf_tokenizer_json;
use crate::text::tokenizer::Tokenizer;
use crate::weights::{Checkpoint, Extent};

/// No `tokenizer.json` is longer than this: 256 MiB (UMT5's is 17 MB).
pub(super) const LIMIT: u64 = 1 << 28;

/// Paths of a tokenizer in a folder that is not in the diffusers layout; the first is Wan's own.
const TOKENIZERS: [&str; 4] = [
    "google/umt5-xxl/tokenizer.json",
    "tokenizer.json",
    "google/umt5-xxl/spiece.model",
    "spiece.model",
];

/// The tensor in which ComfyUI's text encoders carry their SentencePiece model.
const SPIECE: &str = "spiece_model";

impl ModelFolder {
    /// The bytes of the model's `tokenizer.json`, or of its SentencePiece model where there is no
    /// such file, and the name that messages give them.
    ///
    /// # Errors
    /// [`ConfigError::Missing`], [`ConfigError::NoTokenizer`] or [`ConfigError::Read`].
    pub fn tokenizer_json(&self) -> Result<(String, Cow<'static, [u8]>), ConfigError> {
        let [usual, spiece] = ["tokenizer/tokenizer.json", "tokenizer/spiece.model"];
        let named = self.assembled.tokenizer.clone();
        if named.is_none() {
            for own in [usual, spiece] {
                if self.contains(own) {
                    return self.named(own, LIMIT);
                }
            }
        }
        let Some(file) = named.or_else(|| self.tokenizer_beside()) else {
            return self.tokenizer_within();
        };
        let bytes = read_file(&file, LIMIT, &|| ConfigError::Read {
            file: file.display().to_string(),
            source: ErrorKind::NotFound.into(),
        })?;
        Ok((file.display().to_string(), Cow::Owned(bytes)))
    }

    /// The model's tokenizer, read and checked. `None` if only the headers of its files, or only a
    /// released model's description, are on this machine.
    ///
    /// # Errors
    /// Those of [`tokenizer_json`](Self::tokenizer_json), and [`ConfigError::Tokenizer`].
    pub fn tokenizer(&self) -> Result<Option<Tokenizer>, ConfigError> {
        if matches!(self.files, Files::Released(_)) {
            return Ok(None);
        }
        match self.tokenizer_json() {
            Err(ConfigError::Weights(WeightsError::NoData { .. }))
                if self.extent == Extent::Headers =>
            {
                Ok(None)
            }
            found => {
                let (file, bytes) = found?;
                Tokenizer::from_bytes(&file, &bytes).map(Some)
            }
        }
    }

    /// The tokenizer that the text encoder's file carries: a SentencePiece model in a tensor, or a
    /// vocabulary in the keys of a GGUF.
    fn tokenizer_within(&self) -> Result<(String, Cow<'static, [u8]>), ConfigError> {
        let own = match &self.files {
            Files::Disk(folder) => Some(folder.join("text_encoder")),
            Files::Embedded(_) | Files::Released(_) => None,
        };
        let own = own.filter(|folder| folder.is_dir());
        let path = self.assembled.parts.get("text_encoder").cloned().or(own);
        let missing = || match self.layout {
            Layout::Diffusers if self.assembled.parts.is_empty() => {
                self.missing("tokenizer/tokenizer.json")
            }
            _ => ConfigError::NoTokenizer {
                model: self.name.clone(),
            },
        };
        let path = path.ok_or_else(missing)?;
        let file = Checkpoint::open_to(&path, "text_encoder", self.extent)?;
        if let Some(found) = file.tokenizer()? {
            let shown = format!("tokenizer.ggml in {}", path.display());
            return match gguf_tokenizer_json(&found) {
                Ok(json) => Ok((shown, Cow::Owned(json))),
                Err(reason) => Err(ConfigError::Tokenizer {
                    file: shown,
                    reason,
                }),
            };
        }
        let name = file.names().find(|name| {
            let prefix = name.strip_suffix(SPIECE);
            prefix.is_some_and(|prefix| prefix.is_empty() || prefix.ends_with('.'))
        });
        let bytes = file.bytes_of(name.ok_or_else(missing)?)?;
        let shown = format!("{SPIECE} in {}", path.display());
        Ok((shown, Cow::Owned(bytes.to_vec())))
    }

    /// A tokenizer in the folder, or beside the file of the text encoder.
    fn tokenizer_beside(&self) -> Option<PathBuf> {
        let folder = match &self.files {
            Files::Disk(folder) => Some(folder.as_path()),
            Files::Embedded(_) | Files::Released(_) => None,
        };
        let text_encoder = self.assembled.parts.get("text_encoder");
        let beside = text_encoder.and_then(|file| file.parent());
        let folders = folder.into_iter().chain(beside);
        let files = folders.flat_map(|folder| TOKENIZERS.map(|name| folder.join(name)));
        files.into_iter().find(|file| file.is_file())
    }
}
