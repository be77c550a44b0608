//! Finds the file of each part of a model in a folder, by the tensors' names.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{ConfigError, WeightsError};
use crate::model_files::names::{Kind, Names, Naming, describe_unknown};
use crate::weights::{Checkpoint, Extent};

/// Where Wan 2.2 A14B's release has its experts, and what diffusers calls them.
const EXPERTS: [(&str, &str); 2] = [
    ("high_noise_model", "transformer"),
    ("low_noise_model", "transformer_2"),
];

/// Marks in the file names of experts, in ComfyUI's folders and elsewhere.
const EXPERT_FILES: [(&str, &str); 4] = [
    ("high_noise", "transformer"),
    ("low_noise", "transformer_2"),
    ("highnoise", "transformer"),
    ("lownoise", "transformer_2"),
];

/// The addition to the error about two transformers.
const SECOND_EXPERT: &str = ", and with two experts the one for low noise in transformer_2; file names with high_noise and low_noise tell them apart";

/// Files that may hold weights, by the end of their names.
const WEIGHTS: [&str; 3] = [".safetensors", ".gguf", ".pth"];
const INDEX: &str = ".safetensors.index.json";

/// The contents of a folder without a `model_index.json`.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Where each part's weights are.
    pub(super) parts: BTreeMap<&'static str, PathBuf>,
    /// Whether a part has the names of Wan's own release.
    pub(super) original: bool,
    /// Files that could not be read, and why.
    pub(super) unreadable: Vec<WeightsError>,
}

impl Found {
    /// Looks at the heads of all weights in `folder` and of A14B's experts below it.
    ///
    /// # Errors
    /// [`ConfigError::TwoOfAKind`] where the folder could be two models.
    pub(super) fn search(folder: &Path, extent: Extent) -> Result<Self, ConfigError> {
        let mut found = Self::default();
        for (name, part) in EXPERTS {
            let expert = folder.join(name);
            if expert.is_dir() {
                found.add(&expert, Some(part), extent)?;
            }
        }
        for file in candidates(folder) {
            found.add(&file, None, extent)?;
        }
        found.alone();
        Ok(found)
    }

    /// The parts that the file at `path` holds.
    ///
    /// # Errors
    /// A file that cannot be read, and [`WeightsError::WrongPart`] for one without any part.
    pub(super) fn file(path: &Path, extent: Extent) -> Result<Self, ConfigError> {
        let mut found = Self::default();
        found.add(path, None, extent)?;
        found.alone();
        if let Some(unreadable) = found.unreadable.pop() {
            return Err(unreadable.into());
        }
        if found.parts.is_empty() {
            let checkpoint = Checkpoint::open_to(path, "model", extent)?;
            return Err(WeightsError::WrongPart {
                part: "model".to_owned(),
                file: path.display().to_string(),
                found: describe_unknown(checkpoint.names()).to_owned(),
                expected: "a part of a Wan model, or all of them".to_owned(),
            }
            .into());
        }
        Ok(found)
    }

    /// Treats a single expert as the model's only transformer, whatever its name says.
    fn alone(&mut self) {
        if !self.parts.contains_key("transformer")
            && let Some(file) = self.parts.remove("transformer_2")
        {
            self.parts.insert("transformer", file);
        }
    }

    /// Adds the weights at `path` as the part that their tensors say, or as `part` if that fits.
    fn add(
        &mut self,
        path: &Path,
        part: Option<&'static str>,
        extent: Extent,
    ) -> Result<(), ConfigError> {
        let checkpoint = match Checkpoint::open_to(path, part.unwrap_or("model"), extent) {
            Ok(checkpoint) => checkpoint,
            Err(error) => {
                self.unreadable.push(error);
                return Ok(());
            }
        };
        for names in Names::recognise(checkpoint.names()) {
            let part = match (names.kind, part) {
                (Kind::Transformer, Some(expert)) => expert,
                (Kind::Transformer, None) => expert_of(path).unwrap_or(names.kind.part()),
                (kind, None) => kind.part(),
                _ => continue,
            };
            self.original |= names.naming == Naming::Original;
            if let Some(first) = self.parts.get(part) {
                return Err(ConfigError::TwoOfAKind {
                    first: first.display().to_string(),
                    second: path.display().to_string(),
                    kind: names.kind.to_string(),
                    field: names.kind.field(),
                    second_field: match names.kind {
                        Kind::Transformer => SECOND_EXPERT,
                        Kind::TextEncoder | Kind::ImageEncoder | Kind::Vae => "",
                    },
                });
            }
            self.parts.insert(part, path.to_owned());
        }
        Ok(())
    }
}

/// The expert that a transformer's file name indicates.
fn expert_of(file: &Path) -> Option<&'static str> {
    let name = file
        .file_name()?
        .to_string_lossy()
        .to_lowercase()
        .replace('-', "_");
    let found: Vec<&str> = EXPERT_FILES
        .iter()
        .filter(|(mark, _)| name.contains(mark))
        .map(|(_, part)| *part)
        .collect();
    match found.as_slice() {
        [part] => Some(part),
        _ => None,
    }
}

/// The weights in `folder`, sorted: shards by their index, all else by itself.
fn candidates(folder: &Path) -> Vec<PathBuf> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .collect();
    names.sort_unstable();
    let indices: Vec<&str> = names
        .iter()
        .filter_map(|name| name.strip_suffix(INDEX))
        .collect();
    // `model-00001-of-00002.safetensors` beside `model.safetensors.index.json`.
    let is_shard = |name: &str| {
        indices.iter().any(|index| {
            let rest = name.strip_prefix(index);
            rest.is_some_and(|rest| rest.starts_with('-') && rest.contains("-of-"))
        })
    };
    let is_weights = |name: &str| {
        name.ends_with(INDEX) || WEIGHTS.iter().any(|end| name.ends_with(end)) && !is_shard(name)
    };
    names
        .iter()
        .filter(|name| is_weights(name))
        .map(|name| folder.join(name))
        .collect()
}
