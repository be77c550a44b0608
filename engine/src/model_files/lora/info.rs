//! Describes a LoRA file to people, and how it fits a model.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use super::factors::Method;
use super::file::{LoraFile, some};
use super::overlay::overlay;
use super::roles::Role;
use crate::error::WeightsError;
use crate::model_files::ModelFolder;
use crate::weights::Checkpoint;

/// Fields of a file's metadata in which trainers say what they trained on.
const BASES: [&str; 6] = [
    "ss_base_model_version",
    "modelspec.architecture",
    "ss_sd_model_name",
    "base_model_name_or_path",
    "base_model",
    "modelspec.title",
];

/// A LoRA file: its contents and, if a model is given, its changes to that model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoraInfo {
    /// The file.
    pub file: String,
    /// The tensors in it.
    pub tensors: usize,
    /// Layers that it changes, of all experts.
    pub layers: usize,
    /// The number of layers by method, such as `LoRA`.
    pub methods: BTreeMap<&'static str, usize>,
    /// Layers by the rank of their change, where it has one.
    pub ranks: BTreeMap<usize, usize>,
    /// Whether it holds a LoRA for each of two experts.
    pub two_experts: bool,
    /// The base model according to its metadata.
    pub base: Option<String>,
    /// Tensors whose names are not recognised.
    pub unknown: Vec<String>,
    /// A line a transformer of the model.
    pub fits: Vec<LoraFit>,
}

/// The changes of a LoRA in one transformer of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoraFit {
    /// `transformer` or `transformer_2`.
    pub part: &'static str,
    /// Layers that are changed.
    pub changed: usize,
    /// Layers of images that are left out.
    pub left_out: usize,
    /// One tensor of each layer that the transformer lacks.
    pub missing: Vec<String>,
    /// Why the file cannot be applied; `None` if it can.
    pub problem: Option<String>,
}

impl LoraInfo {
    /// Reads a file and compares it with the transformers of `model`.
    ///
    /// # Errors
    /// A file that cannot be read, or is of a method that is not applied; weights of the model that
    /// cannot be opened. That the two do not fit is no error.
    pub fn read(path: &Path, model: Option<&ModelFolder>) -> Result<Self, WeightsError> {
        Self::of(Checkpoint::open(path, "LoRA")?, model)
    }

    /// Like [`read`](Self::read), for a file that is already open.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn of(tensors: Checkpoint, model: Option<&ModelFolder>) -> Result<Self, WeightsError> {
        let file = LoraFile::of(tensors)?;
        let mut this = Self {
            file: file.name.clone(),
            tensors: file.tensors.names().len(),
            layers: file.layers.len(),
            methods: BTreeMap::new(),
            ranks: BTreeMap::new(),
            two_experts: file.is_for_two(),
            base: base(&file),
            unknown: file.unknown.clone(),
            fits: Vec::new(),
        };
        for roles in file.layers.values() {
            let magnitude = roles.contains_key(&Role::Magnitude);
            let method = Method::of(roles).map(|method| method.name(magnitude));
            *this
                .methods
                .entry(method.unwrap_or("differences"))
                .or_default() += 1;
            let downs = [
                Role::Down,
                Role::Hadamard1B,
                Role::Kronecker1B,
                Role::Kronecker2B,
            ];
            let downs = downs.iter().filter_map(|role| roles.get(role));
            let ranks = downs.filter_map(|name| file.tensors.shape_of(name)?.first());
            if let Some(rank) = ranks.max() {
                *this.ranks.entry(*rank).or_default() += 1;
            }
        }
        let Some(model) = model else {
            return Ok(this);
        };
        let parts = model.parts().into_iter();
        for part in parts.filter(|part| part.starts_with("transformer")) {
            let (_, checkpoint) = model.open_part(part)?;
            let fit = file.fit(part, &checkpoint);
            let missing = fit.missing.iter().map(|name| (*name).to_owned()).collect();
            let (changed, left_out) = (fit.layers.len(), fit.of_images);
            let applied = file
                .fitted(part, &checkpoint)
                .and_then(|fit| overlay(&[(&file, 1.0, fit)], &checkpoint));
            this.fits.push(LoraFit {
                part,
                changed,
                left_out,
                missing,
                problem: applied.err().map(|error| error.to_string()),
            });
        }
        Ok(this)
    }

    /// Whether every transformer that was asked about takes it.
    #[must_use]
    pub fn is_applicable(&self) -> bool {
        self.fits.iter().all(|fit| fit.problem.is_none())
    }
}

/// The base model according to a file's metadata.
fn base(file: &LoraFile) -> Option<String> {
    let metadata = file.tensors.metadata();
    let found = BASES.iter().find_map(|field| metadata.get(*field));
    let found = found
        .map(|text| text.trim())
        .filter(|text| !text.is_empty());
    // One line of a length that a terminal shows.
    found.map(|text| text.chars().filter(|c| !c.is_control()).take(120).collect())
}

/// Lines of `what: value`, for people.
impl fmt::Display for LoraInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = |(what, count): (&dyn fmt::Display, &usize)| {
            if self.layers == *count {
                what.to_string()
            } else {
                format!("{what} ({count} layers)")
            }
        };
        writeln!(f, "file: {}", self.file)?;
        writeln!(f, "layers: {} ({} tensors)", self.layers, self.tensors)?;
        let methods: Vec<_> = self.methods.iter().map(|(m, n)| counted((m, n))).collect();
        writeln!(f, "method: {}", methods.join(", "))?;
        if !self.ranks.is_empty() {
            let ranks: Vec<_> = self.ranks.iter().map(|(r, n)| counted((r, n))).collect();
            writeln!(f, "rank: {}", ranks.join(", "))?;
        }
        if self.two_experts {
            writeln!(f, "experts: both, one LoRA each")?;
        }
        let base = self.base.as_deref().unwrap_or("not said");
        write!(f, "trained on: {base}")?;
        if !self.unknown.is_empty() {
            let names: Vec<&str> = self.unknown.iter().map(String::as_str).collect();
            write!(f, "\nunknown: {} tensors ({})", names.len(), some(&names))?;
        }
        for fit in &self.fits {
            write!(f, "\n{}: changes {} layers", fit.part, fit.changed)?;
            if fit.left_out > 0 {
                write!(f, "; leaves out {} that read an image", fit.left_out)?;
            }
            if let Some(problem) = &fit.problem {
                write!(f, "; cannot be applied: {problem}")?;
            }
        }
        Ok(())
    }
}
