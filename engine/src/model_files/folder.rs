//! A model's files: a folder on disk, or a list of files embedded into the program.

mod descriptions;
mod files;
mod tokenizer;

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::assembled::{self, Assembled, PartFiles};
use super::released;
use super::search::Found;
use super::{ModelConfig, PipelineConfig};
use crate::error::{ConfigError, WeightsError};
use crate::model_files::lora::{Lora, LoraNote, Loras};
use crate::model_files::matrices::is_block_matrix;
use crate::model_files::names::{Kind, Names, with_diffusers_names};
use crate::models::config::TransformerConfig;
use crate::tensor::DType;
use crate::weights::{Checkpoint, Extent, Storage};
use files::Files;

/// No `config.json` is longer than this: 16 MiB.
const CONFIG_LIMIT: u64 = 1 << 24;

/// A hint for a folder with a `config.json` but no recognised model.
const LOOKS_LIKE_A_PART: &str = ". This looks like one part of a model: name the folder above it";

/// The parts that every model has, and the one of models that see images.
const PARTS: [&str; 4] = ["text_encoder", "image_encoder", "transformer", "vae"];

/// A model's files: a folder in the diffusers layout, on disk or embedded, or files that are presented
/// as one.
#[derive(Clone, Debug)]
pub struct ModelFolder {
    /// What messages and metadata call the folder: its last component.
    name: String,
    files: Files,
    /// Parts outside the folder or in another layout.
    assembled: Assembled,
    layout: Layout,
    quantized: Option<DType>,
    /// How much of the weights' files must be there.
    extent: Extent,
    /// The LoRAs of the transformers.
    loras: Arc<Loras>,
}

/// The layout of a model's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A folder a part, with `model_index.json`.
    Diffusers,
    /// The files of Wan's own release.
    Original,
    /// A file a part, as ComfyUI has them.
    Files,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Diffusers => "diffusers",
            Self::Original => "Wan's original release",
            Self::Files => "single files",
        })
    }
}

impl ModelFolder {
    /// The model at `path`: a folder in the diffusers layout, a folder of Wan's own release, a folder
    /// with one file per part, or one file, which may hold several parts. Of a folder in the diffusers
    /// layout, only `model_index.json` is looked for here.
    ///
    /// # Errors
    /// [`ConfigError::NotAFolder`], [`ConfigError::Missing`] where nothing is recognised,
    /// [`ConfigError::TwoOfAKind`], and what is wrong with a file that was recognised.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        Self::open_to(path, Extent::Whole)
    }

    /// Like [`ModelFolder::open`], with files that need only be present to this extent: headers are
    /// enough for a [plan](crate::pipeline::MemoryPlan).
    ///
    /// # Errors
    /// As [`ModelFolder::open`].
    pub fn open_to(path: impl AsRef<Path>, extent: Extent) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        // The last component, also of `.` and `model/..`, which have none of their own.
        let named = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if path.is_file() {
            let nothing = Self::nothing(&named, extent);
            return nothing.with_found(Found::file(path, extent)?, &PartFiles::default());
        }
        if !path.is_dir() {
            return Err(ConfigError::NotAFolder {
                folder: path.display().to_string(),
            });
        }
        let name = named
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_else(|| path.display().to_string());
        let folder = Self {
            extent,
            ..Self::of(name, Files::Disk(path.to_owned()))
        };
        if folder.contains("model_index.json") {
            return Ok(folder);
        }
        let mut found = Found::search(path, extent)?;
        if found.parts.is_empty() {
            return Err(match found.unreadable.pop() {
                Some(unreadable) => unreadable.into(),
                None => folder.missing("model_index.json"),
            });
        }
        folder.with_found(found, &PartFiles::default())
    }

    /// A model that consists only of the given files.
    ///
    /// # Errors
    /// As [`ModelFolder::with_parts`].
    pub fn of_parts(files: &PartFiles) -> Result<Self, ConfigError> {
        Self::of_parts_to(files, Extent::Whole)
    }

    /// Like [`ModelFolder::of_parts`], with files that need only be present to this extent.
    ///
    /// # Errors
    /// As [`ModelFolder::with_parts`].
    pub fn of_parts_to(files: &PartFiles, extent: Extent) -> Result<Self, ConfigError> {
        let first = [
            &files.transformer,
            &files.transformer_2,
            &files.image_encoder,
            &files.vae,
            &files.text_encoder,
            &files.tokenizer,
        ];
        let first = first.into_iter().flatten().next();
        let named = first.map_or(Path::new("model"), PathBuf::as_path);
        Self::nothing(named, extent).with_parts(files)
    }

    /// The model with the parts that are named in place of its own.
    ///
    /// # Errors
    /// A file that cannot be opened, is not the part that it is named as, or does not say its sizes.
    pub fn with_parts(self, files: &PartFiles) -> Result<Self, ConfigError> {
        if files.is_empty() {
            return Ok(self);
        }
        let own = Found {
            parts: self.assembled.parts.clone(),
            original: self.layout == Layout::Original,
            ..Found::default()
        };
        self.with_found(own, files)
    }

    /// An empty model, named after the file at `path`.
    fn nothing(path: &Path, extent: Extent) -> Self {
        let stem = path.file_stem().unwrap_or(path.as_os_str());
        Self {
            layout: Layout::Files,
            extent,
            ..Self::embedded(&stem.to_string_lossy(), &[])
        }
    }

    /// The model with the parts that were found; the named ones take precedence.
    fn with_found(mut self, found: Found, files: &PartFiles) -> Result<Self, ConfigError> {
        let mut parts = found.parts;
        let unreadable = found.unreadable.iter().map(ToString::to_string).collect();
        parts.extend(files.weights());
        let tokenizer = files.tokenizer.clone();
        let tokenizer = tokenizer.or(self.assembled.tokenizer.take());
        self.assembled = Assembled::default();
        if !self.contains("model_index.json") {
            self.layout = if found.original && matches!(self.files, Files::Disk(_)) {
                Layout::Original
            } else {
                Layout::Files
            };
        }
        self.assembled = Assembled::new(parts, tokenizer, &self)?;
        self.assembled.unreadable = unreadable;
        Ok(self)
    }

    /// A model embedded into the program: its files' paths inside the folder, with `/`, and their
    /// contents at any alignment. `name` is what messages call the folder.
    #[must_use]
    pub fn embedded(name: &str, files: &'static [(&'static str, &'static [u8])]) -> Self {
        Self::of(name.to_owned(), Files::Embedded(files))
    }

    /// Files in the diffusers layout, whole.
    fn of(name: String, files: Files) -> Self {
        Self {
            name,
            files,
            assembled: Assembled::default(),
            layout: Layout::Diffusers,
            quantized: None,
            extent: Extent::Whole,
            loras: Arc::default(),
        }
    }

    /// The same folder under another name than its last path component.
    #[must_use]
    pub fn called(self, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..self
        }
    }

    /// A released model by its short name or another that people have for it
    /// ([`short_name`](super::short_name)), without its weights: for planning.
    ///
    /// # Errors
    /// [`ConfigError::NoSuchModel`] with the names there are.
    pub fn like(name: &str) -> Result<Self, ConfigError> {
        let model = released::by_short_name(name)?;
        Ok(Self::of(model.short.to_owned(), Files::Released(model)))
    }

    /// The same model, whose [matrices](is_block_matrix) of the transformers and the text encoder
    /// are handed out as elements of `dtype` where their files have larger ones.
    #[must_use]
    pub fn quantized(self, dtype: DType) -> Self {
        Self {
            quantized: Some(dtype),
            ..self
        }
    }

    /// The type that [`quantized`](Self::quantized) set.
    #[must_use]
    pub fn quantization(&self) -> Option<DType> {
        self.quantized
    }

    /// The same model with LoRAs applied to its transformers, all at once.
    ///
    /// # Errors
    /// A strength that is not finite, or an expert that the model does not have.
    pub fn with_loras(self, loras: Vec<Lora>) -> Result<Self, ConfigError> {
        let two_experts = self.contains("transformer_2/config.json");
        Ok(Self {
            loras: Arc::new(Loras::new(loras, two_experts).map_err(WeightsError::from)?),
            ..self
        })
    }

    /// The LoRAs that are applied.
    #[must_use]
    pub fn loras(&self) -> &[Lora] {
        self.loras.list()
    }

    /// The layers of the LoRAs that are left out because the model lacks them: one note per file.
    ///
    /// # Errors
    /// As [`ModelFolder::checkpoint`].
    pub fn lora_notes(&self) -> Result<Vec<LoraNote>, WeightsError> {
        let mut notes = Vec::new();
        if self.loras().is_empty() {
            return Ok(notes);
        }
        for part in self.parts() {
            if Kind::of_part(part) != Some(Kind::Transformer) {
                continue;
            }
            for note in self.loras.notes(part, &self.open_part(part)?.1)? {
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
        }
        Ok(notes)
    }

    /// The folder's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How much of its weights' files must be there.
    #[must_use]
    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// The layout of its files.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Reads every configuration file and checks that they fit each other.
    ///
    /// # Errors
    /// A [`ConfigError`] that names the file and the field, or the parts that are missing.
    pub fn config(&self) -> Result<ModelConfig, ConfigError> {
        if self.layout != Layout::Diffusers {
            self.check_parts()?;
        }
        ModelConfig::read(self)
    }

    /// Refuses a model of separate files that lacks a part.
    fn check_parts(&self) -> Result<(), ConfigError> {
        let index = self.config_json("transformer/config.json").ok();
        let sees = index.is_some_and(|(file, text)| {
            TransformerConfig::parse(&file, &text).is_ok_and(|config| config.image_dim.is_some())
        });
        let needed: Vec<&str> = PARTS
            .into_iter()
            .filter(|part| *part != "image_encoder" || sees)
            .collect();
        let kinds = |there: bool| {
            needed
                .iter()
                .filter(move |part| self.contains(&format!("{part}/config.json")) == there)
                .filter_map(|part| Kind::of_part(part))
        };
        let fields: Vec<&str> = kinds(false).map(Kind::field).collect();
        let missing: Vec<String> = kinds(false)
            .map(|kind| format!("no {} ({})", kind.noun(), kind.field()))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let found: Vec<String> = kinds(true).map(|kind| kind.to_string()).collect();
        Err(ConfigError::NoPart {
            model: self.name.clone(),
            found: match found.as_slice() {
                [] => "holds a tokenizer".to_owned(),
                found => format!("holds {}", found.join(" and ")),
            },
            missing: missing.join(" and "),
            unreadable: match self.assembled.unreadable.as_slice() {
                [] => String::new(),
                files => format!(". Not read: {}", files.join("; ")),
            },
            fields,
        })
    }

    /// The parts that this model has, in the order of use.
    #[must_use]
    pub fn parts(&self) -> Vec<&'static str> {
        let index = self.config_json("model_index.json").ok();
        let index = index.and_then(|(file, text)| PipelineConfig::parse(&file, &text).ok());
        let two = index.is_some_and(|index| index.has_transformer_2);
        let there = |part: &&str| match *part {
            "transformer_2" => two,
            part => self.contains(&format!("{part}/config.json")),
        };
        let all = [
            "text_encoder",
            "image_encoder",
            "transformer",
            "transformer_2",
            "vae",
        ];
        all.into_iter().filter(there).collect()
    }

    /// Opens the weights of `part`, a folder of the diffusers layout such as `vae`. Its
    /// tensors have diffusers' names, whatever the file calls them, and include the changes of the
    /// model's LoRAs.
    ///
    /// # Errors
    /// Those of [`Checkpoint::open`] and [`Checkpoint::from_bytes`],
    /// [`WeightsError::WrongPart`] and [`WeightsError::Adapter`].
    pub fn checkpoint(&self, part: &str) -> Result<Checkpoint, WeightsError> {
        let checkpoint = self.loras.apply(part, self.open_part(part)?.1)?;
        Ok(match self.quantized {
            Some(dtype) if !["vae", "image_encoder"].contains(&part) => {
                checkpoint.quantized(dtype, is_block_matrix)
            }
            _ => checkpoint,
        })
    }

    /// Like [`ModelFolder::checkpoint`], but in the files' own types and without LoRAs. Also returns the
    /// naming that the file uses, if it is recognised.
    ///
    /// # Errors
    /// As [`ModelFolder::checkpoint`].
    pub fn open_part(&self, part: &str) -> Result<(Option<Names>, Checkpoint), WeightsError> {
        let kind = Kind::of_part(part);
        if let (Some(kind), Some(path)) = (kind, self.assembled.parts.get(part)) {
            let (names, checkpoint) = assembled::open(path, part, kind, self.extent)?;
            return Ok((Some(names), checkpoint));
        }
        let own = self.own_checkpoint(part)?;
        match kind {
            Some(kind) => with_diffusers_names(own, kind),
            None => Ok((None, own)),
        }
    }

    /// The weights in the folder's own place for `part`.
    fn own_checkpoint(&self, part: &str) -> Result<Checkpoint, WeightsError> {
        match &self.files {
            Files::Disk(folder) => Checkpoint::open_to(folder.join(part), part, self.extent),
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
            Files::Released(_) if part == "vae" => Ok(Checkpoint::meta(part, DType::F32)),
            Files::Released(_) => Ok(Checkpoint::meta(part, DType::BF16)),
        }
    }

    /// The text of `scheduler/scheduler_config.json`, and the name that messages give the file.
    ///
    /// # Errors
    /// [`ConfigError::Missing`] or [`ConfigError::Read`].
    pub fn scheduler_json(&self) -> Result<(String, Cow<'static, [u8]>), ConfigError> {
        self.config_json("scheduler/scheduler_config.json")
    }

    /// A configuration file by its path in the diffusers layout, such as `vae/config.json`. Returns its
    /// name for messages and its bytes.
    ///
    /// # Errors
    /// [`ConfigError::Missing`] or [`ConfigError::Read`].
    pub fn config_json(&self, path: &str) -> Result<(String, Cow<'static, [u8]>), ConfigError> {
        match self.assembled.texts.get(path) {
            Some((shown, text)) => Ok((shown.clone(), Cow::Owned(text.clone()))),
            None => self.named(path, CONFIG_LIMIT),
        }
    }

    /// Whether the folder holds `path`, which is written with `/`.
    #[must_use]
    pub fn contains(&self, path: &str) -> bool {
        if self.assembled.texts.contains_key(path) {
            return true;
        }
        self.files.contains(path)
    }

    /// `path` as messages show it.
    fn shown(&self, path: &str) -> String {
        self.files.shown(&self.name, path)
    }

    fn missing(&self, path: &str) -> ConfigError {
        let hint = match path {
            "model_index.json" if self.contains("config.json") => LOOKS_LIKE_A_PART,
            _ => "",
        };
        ConfigError::Missing {
            file: self.shown(path),
            hint,
        }
    }

    fn named(&self, path: &str, limit: u64) -> Result<(String, Cow<'static, [u8]>), ConfigError> {
        let bytes = self.files.read(path, limit, &|| self.missing(path))?;
        Ok((self.shown(path), bytes))
    }
}
