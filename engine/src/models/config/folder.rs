//! A model's files: a folder on disk, or a list of files embedded into the program.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::ModelConfig;
use super::released::{self, Released};
use crate::error::{ConfigError, WeightsError};
use crate::tensor::DType;
use crate::weights::{Checkpoint, Storage};

/// No `config.json` is longer than this: 16 MiB.
const CONFIG_LIMIT: u64 = 1 << 24;

/// No `tokenizer.json` is longer than this: 256 MiB (UMT5's is 17 MB).
const TOKENIZER_LIMIT: u64 = 1 << 28;

/// Files of layouts that people have and that are not read, with what to say of them.
const OTHER_LAYOUTS: [(&str, &str); 4] = [
    (
        "models_t5_umt5-xxl-enc-bf16.pth",
        ". This is the original release's layout: download the repository whose name ends in -Diffusers",
    ),
    (
        "Wan2.1_VAE.pth",
        ". This is the original release's layout: download the repository whose name ends in -Diffusers",
    ),
    (
        "Wan2.2_VAE.pth",
        ". This is the original release's layout: download the repository whose name ends in -Diffusers",
    ),
    (
        "config.json",
        ". This looks like one part of a model: name the folder above it",
    ),
];

/// A model in the diffusers layout, on disk or embedded.
#[derive(Clone, Debug)]
pub struct ModelFolder {
    /// What messages and metadata call the folder: its last component.
    name: String,
    files: Files,
}

#[derive(Clone, Debug)]
enum Files {
    Disk(PathBuf),
    /// (path inside the folder with `/`, contents)
    Embedded(&'static [(&'static str, &'static [u8])]),
    /// A released model that is not at hand: its configuration, and weights without a byte.
    Released(&'static Released),
}

impl ModelFolder {
    /// The folder at `path`. Only that it is one with a `model_index.json` is checked here.
    ///
    /// # Errors
    /// [`ConfigError::NotAFolder`], or [`ConfigError::Missing`] with a hint where the folder has
    /// another layout.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        if !path.is_dir() {
            return Err(ConfigError::NotAFolder {
                folder: path.display().to_string(),
            });
        }
        // The last component, also of `.` and `model/..`, which have none of their own.
        let named = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let name = named
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let folder = Self {
            name: name.unwrap_or_else(|| path.display().to_string()),
            files: Files::Disk(path.to_owned()),
        };
        if !folder.contains("model_index.json") {
            return Err(folder.missing("model_index.json"));
        }
        Ok(folder)
    }

    /// A model embedded into the program: its files' paths inside the folder, with `/`, and their
    /// contents at any alignment. `name` is what messages call the folder.
    #[must_use]
    pub fn embedded(name: &str, files: &'static [(&'static str, &'static [u8])]) -> Self {
        Self {
            name: name.to_owned(),
            files: Files::Embedded(files),
        }
    }

    /// The same folder under a name that says more than its last component.
    #[must_use]
    pub fn called(self, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..self
        }
    }

    /// A released model by its short name, `wan2.1-1.3b` say, without its weights: for planning.
    ///
    /// # Errors
    /// [`ConfigError::NoSuchModel`] with the names there are.
    pub fn like(name: &str) -> Result<Self, ConfigError> {
        let model = released::by_short_name(name)?;
        Ok(Self {
            name: name.to_owned(),
            files: Files::Released(model),
        })
    }

    /// The folder's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads every configuration file and checks that they fit each other.
    ///
    /// # Errors
    /// A [`ConfigError`] that names the file and the field.
    pub fn config(&self) -> Result<ModelConfig, ConfigError> {
        ModelConfig::read(self)
    }

    /// Opens the weights of `part`: `text_encoder`, `transformer`, `transformer_2` or `vae`.
    ///
    /// # Errors
    /// Those of [`Checkpoint::open`] and [`Checkpoint::from_bytes`].
    pub fn checkpoint(&self, part: &str) -> Result<Checkpoint, WeightsError> {
        match &self.files {
            Files::Disk(folder) => Checkpoint::open(folder.join(part), part),
            Files::Embedded(files) => {
                let is_weights = |path: &str| {
                    path.strip_prefix(part)
                        .is_some_and(|rest| rest.starts_with('/'))
                        && path.ends_with(".safetensors")
                };
                let file = files.iter().find(|(path, _)| is_weights(path));
                let (path, bytes) = file.ok_or_else(|| WeightsError::Missing {
                    part: part.to_owned(),
                    path: Path::new(&self.name).join(part),
                })?;
                Checkpoint::from_bytes(&self.shown(path), Storage::Static(bytes), part)
            }
            // The autoencoders are released in f32, all else in bf16.
            Files::Released(_) if part == "vae" => Ok(Checkpoint::imagined(part, DType::F32)),
            Files::Released(_) => Ok(Checkpoint::imagined(part, DType::BF16)),
        }
    }

    /// The text of `scheduler/scheduler_config.json`, and the name that messages give the file.
    ///
    /// # Errors
    /// [`ConfigError::Missing`] or [`ConfigError::Read`].
    pub fn scheduler_json(&self) -> Result<(String, Cow<'static, [u8]>), ConfigError> {
        self.named("scheduler/scheduler_config.json", CONFIG_LIMIT)
    }

    /// The bytes of `tokenizer/tokenizer.json`, and the name that messages give the file.
    ///
    /// # Errors
    /// [`ConfigError::Missing`] or [`ConfigError::Read`].
    pub fn tokenizer_json(&self) -> Result<(String, Cow<'static, [u8]>), ConfigError> {
        self.named("tokenizer/tokenizer.json", TOKENIZER_LIMIT)
    }

    /// A configuration file by its path in the folder, `vae/config.json` say: the name that messages
    /// give it, and its bytes.
    ///
    /// # Errors
    /// [`ConfigError::Missing`] or [`ConfigError::Read`].
    pub fn config_json(&self, path: &str) -> Result<(String, Cow<'static, [u8]>), ConfigError> {
        self.named(path, CONFIG_LIMIT)
    }

    /// Whether the folder holds `path`, which is written with `/`.
    #[must_use]
    pub fn contains(&self, path: &str) -> bool {
        match &self.files {
            Files::Disk(folder) => folder.join(path).is_file(),
            Files::Embedded(files) => files.iter().any(|(embedded, _)| *embedded == path),
            Files::Released(model) => model.json(path).is_some(),
        }
    }

    /// `path` as messages show it.
    fn shown(&self, path: &str) -> String {
        match &self.files {
            Files::Disk(folder) => folder.join(path).display().to_string(),
            Files::Embedded(_) | Files::Released(_) => format!("{}/{path}", self.name),
        }
    }

    fn missing(&self, path: &str) -> ConfigError {
        let other = OTHER_LAYOUTS.iter().find(|(file, _)| self.contains(file));
        let hint = match other {
            Some((_, hint)) if path == "model_index.json" => hint,
            _ if path.starts_with("tokenizer/") && self.contains("tokenizer/spiece.model") => {
                ". tokenizer/spiece.model is there, but it is tokenizer.json that is read: add it from the model's repository"
            }
            _ => "",
        };
        ConfigError::Missing {
            file: self.shown(path),
            hint,
        }
    }

    fn named(&self, path: &str, limit: u64) -> Result<(String, Cow<'static, [u8]>), ConfigError> {
        Ok((self.shown(path), self.read(path, limit)?))
    }

    fn read(&self, path: &str, limit: u64) -> Result<Cow<'static, [u8]>, ConfigError> {
        let folder = match &self.files {
            Files::Disk(folder) => folder,
            Files::Embedded(files) => {
                let file = files.iter().find(|(embedded, _)| *embedded == path);
                return file
                    .map(|(_, bytes)| Cow::Borrowed(*bytes))
                    .ok_or_else(|| self.missing(path));
            }
            Files::Released(model) => {
                let json = model.json(path).ok_or_else(|| self.missing(path))?;
                return Ok(Cow::Owned(json.to_string().into_bytes()));
            }
        };
        let failed = |source: std::io::Error| match source.kind() {
            ErrorKind::NotFound => self.missing(path),
            _ => ConfigError::Read {
                file: self.shown(path),
                source,
            },
        };
        let at = folder.join(path);
        let len = fs::metadata(&at).map_err(failed)?.len();
        if len > limit {
            return Err(ConfigError::TooLong {
                file: self.shown(path),
                len,
                limit,
            });
        }
        let mut bytes = Vec::new();
        // Limited once more, for a file that grows or has no length of its own.
        let mut file = File::open(&at).map_err(failed)?.take(limit);
        file.read_to_end(&mut bytes).map_err(failed)?;
        Ok(Cow::Owned(bytes))
    }
}
