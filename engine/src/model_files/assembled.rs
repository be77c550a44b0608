//! A model whose parts are separate files, presented in the diffusers layout.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::released;
use super::sizes::configuration;
use super::{ModelFolder, PipelineConfig};
use crate::error::{ConfigError, WeightsError};
use crate::model_files::names::{Kind, Names, describe_unknown, with_diffusers_names};
use crate::weights::{Checkpoint, Extent};

/// Files that are parts of a model, each named by itself: safetensors (an index of shards too),
/// GGUF or `.pth`, under any of the [names](crate::model_files::names) that Kinora knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartFiles {
    /// The transformer; of two experts the one for high noise.
    pub transformer: Option<PathBuf>,
    /// The expert for low noise.
    pub transformer_2: Option<PathBuf>,
    /// UMT5's encoder.
    pub text_encoder: Option<PathBuf>,
    /// CLIP's image encoder, of models that see image tokens.
    pub image_encoder: Option<PathBuf>,
    /// The autoencoder.
    pub vae: Option<PathBuf>,
    /// A `tokenizer.json`.
    pub tokenizer: Option<PathBuf>,
}

impl PartFiles {
    /// Whether nothing is named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The weights that are named, by their folder in the diffusers layout.
    pub(super) fn weights(&self) -> BTreeMap<&'static str, PathBuf> {
        [
            ("text_encoder", &self.text_encoder),
            ("image_encoder", &self.image_encoder),
            ("transformer", &self.transformer),
            ("transformer_2", &self.transformer_2),
            ("vae", &self.vae),
        ]
        .into_iter()
        .filter_map(|(part, file)| Some((part, file.clone()?)))
        .collect()
    }
}

/// The parts of a model that lie outside its folder, with configuration files made for them.
#[derive(Clone, Debug, Default)]
pub(super) struct Assembled {
    /// Where each part's weights are.
    pub(super) parts: BTreeMap<&'static str, PathBuf>,
    /// Configuration files by their path in the diffusers layout: what messages call them, their
    /// text.
    pub(super) texts: BTreeMap<String, (String, Vec<u8>)>,
    /// Where the tokenizer is.
    pub(super) tokenizer: Option<PathBuf>,
    /// Errors of other files in the same folder that could not be read.
    pub(super) unreadable: Vec<String>,
}

impl Assembled {
    /// Reads each part's header and makes its configuration. `folder` holds the rest of the model and
    /// may be empty.
    ///
    /// # Errors
    /// A part that cannot be opened, is another part, or does not say its sizes.
    pub(super) fn new(
        parts: BTreeMap<&'static str, PathBuf>,
        tokenizer: Option<PathBuf>,
        folder: &ModelFolder,
    ) -> Result<Self, ConfigError> {
        let mut texts = BTreeMap::new();
        for (part, path) in &parts {
            let kind = Kind::of_part(part).unwrap_or(Kind::Transformer);
            let (_, checkpoint) = open(path, part, kind, folder.extent())?;
            let config = format!("{part}/config.json");
            let own = folder.config_json(&config).ok();
            let own = own.as_ref().map(|(_, text)| text.as_ref());
            let fields = configuration(kind, &checkpoint, path, own)?;
            let text = fields.to_string().into_bytes();
            texts.insert(config, (path.display().to_string(), text));
        }
        let mut this = Self {
            parts,
            texts,
            tokenizer,
            unreadable: Vec::new(),
        };
        this.describe(folder)?;
        Ok(this)
    }

    /// Makes `model_index.json` if the folder has none, or one that lacks an expert.
    fn describe(&mut self, folder: &ModelFolder) -> Result<(), ConfigError> {
        let second = self.parts.contains_key("transformer_2");
        let index = "model_index.json";
        self.check_name()?;
        let text = match folder.config_json(index) {
            Ok((file, text)) => {
                if !second || PipelineConfig::parse(&file, &text)?.has_transformer_2 {
                    return Ok(());
                }
                let mut index: Value = serde_json::from_slice(&text).unwrap_or_default();
                index["transformer_2"] = index["transformer"].clone();
                index["boundary_ratio"] = json!(if self.sees_frames()? {
                    released::IMAGE_BOUNDARY
                } else {
                    released::BOUNDARY
                });
                index
            }
            Err(_) => {
                let vae = self.texts.get("vae/config.json");
                let vae = vae.and_then(|(_, text)| serde_json::from_slice(text).ok());
                let vae: Value = vae.unwrap_or_default();
                // TI2V, the one model with the residual autoencoder.
                released::model_index(second, vae["is_residual"] == true, self.sees_frames()?)
            }
        };
        let shown = folder.name().to_owned();
        let text = text.to_string().into_bytes();
        self.texts.insert(index.to_owned(), (shown.clone(), text));
        let scheduler = "scheduler/scheduler_config.json";
        if !folder.contains(scheduler) {
            let text = released::scheduler(released::SHIFT)
                .to_string()
                .into_bytes();
            self.texts.insert(scheduler.to_owned(), (shown, text));
        }
        Ok(())
    }
}

/// The words in names of transformers that have I2V's tensors and another meaning for them: Wan-Fun's
/// inpainting models want black where I2V wants grey.
const FUN: &str = "fun";

impl Assembled {
    /// The transformer's configuration where it sees known frames: its file's name, the fields.
    fn seeing(&self) -> Option<(&str, Value)> {
        let (file, text) = self.texts.get("transformer/config.json")?;
        let config: Value = serde_json::from_slice(text).ok()?;
        let sees = config["in_channels"] != config["out_channels"];
        sees.then_some((file, config))
    }

    /// Refuses a transformer that sees known frames and is of Wan-Fun by its name or its folder's.
    fn check_name(&self) -> Result<(), ConfigError> {
        let (Some((file, _)), Some(path)) = (self.seeing(), self.parts.get("transformer")) else {
            return Ok(());
        };
        let names = [path.file_name(), path.parent().and_then(Path::file_name)];
        let is_fun = |name: &str| {
            let lower = name.to_lowercase();
            let mut words = lower.split(|c: char| !c.is_alphanumeric());
            words.any(|word| word == FUN)
        };
        let names = names.into_iter().flatten();
        let mut names = names.map(|name| name.to_string_lossy().into_owned());
        match names.find(|name| is_fun(name)) {
            Some(found) => Err(ConfigError::Unsupported {
                file: file.to_owned(),
                field: "its name".to_owned(),
                found,
                meaning: "a Wan-Fun model, which reads known frames otherwise than Wan's own",
            }),
            None => Ok(()),
        }
    }

    /// Whether the transformer starts from known frames. Its channels alone do not say so: the sizes must
    /// be those of a released model, or a configuration beside it must name the task.
    fn sees_frames(&self) -> Result<bool, ConfigError> {
        let Some((file, config)) = self.seeing() else {
            return Ok(false);
        };
        let is = |field: &str, value: u64| config[field].as_u64() == Some(value);
        let released = is("num_attention_heads", 40) && is("num_layers", 40);
        if released || matches!(config["model_type"].as_str(), Some("i2v" | "flf2v")) {
            return Ok(true);
        }
        Err(ConfigError::Unsupported {
            file: file.to_owned(),
            field: "in_channels".to_owned(),
            found: config["in_channels"].to_string(),
            meaning: "an unknown model that starts from known frames (its folder in the diffusers layout or a config.json beside it would say which)",
        })
    }
}

/// Opens a file that was named as `part`, under diffusers' names.
///
/// # Errors
/// [`WeightsError::WrongPart`] for anything else than weights of that part.
pub(super) fn open(
    path: &Path,
    part: &str,
    kind: Kind,
    extent: Extent,
) -> Result<(Names, Checkpoint), WeightsError> {
    match with_diffusers_names(Checkpoint::open_to(path, part, extent)?, kind)? {
        (Some(names), checkpoint) => Ok((names, checkpoint)),
        (None, checkpoint) => Err(WeightsError::WrongPart {
            part: part.to_owned(),
            file: checkpoint.origin().to_owned(),
            found: describe_unknown(checkpoint.names()).to_owned(),
            expected: kind.to_string(),
        }),
    }
}
