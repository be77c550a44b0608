//! The state of an unfinished run on disk, from which it resumes however it ended.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::tensor_file::{self, HostTensor, each_piece};
use super::{Checkpoint, Latents, Storage};
use crate::error::WeightsError;
use crate::staged;

/// The form of the file; a file of another is refused.
const VERSION: &str = "1";
/// Entries of the file's metadata that are the file's own.
const VERSION_KEY: &str = "kinora_state";
const STEP_KEY: &str = "steps_done";
const HASH_KEY: &str = "sha256";
/// The tensor of finished latents, as [`Latents`] has it: once sampling is done, a state is a file
/// of latents.
const LATENTS: &str = "latents";
/// Prefix of tensors that encoders made.
const ENCODED: &str = "encoded.";
/// The solver's tensors between two steps.
const SOLVER: [&str; 4] = ["x", "last", "m0", "m1"];

/// A tensor that an encoder made.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoded {
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Its values.
    pub values: Vec<f32>,
}

/// The solver between two steps of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct SolverState {
    /// [1, C, T, h, w], of each tensor.
    pub shape: [usize; 5],
    /// Steps that are done: the number of the next, counted from 0.
    pub steps_done: usize,
    /// `x`, `last`, `m0` and `m1` of [`StepCoefficients`](crate::sampling::StepCoefficients).
    pub tensors: [Vec<f32>; 4],
    /// The encoders' results for pictures, kept so that a resumed run does not encode them again.
    pub encoded: Arc<BTreeMap<String, Encoded>>,
}

/// How far a run has come.
#[derive(Clone, Debug, PartialEq)]
pub enum RunProgress {
    /// No step is done.
    Nothing,
    /// Some are.
    Steps(SolverState),
    /// All are; the latents have the state's metadata.
    All(Latents),
}

/// A run on disk: its progress and the metadata that identifies it.
#[derive(Clone, Debug, PartialEq)]
pub struct RunState {
    /// How far it has come.
    pub progress: RunProgress,
    /// Everything needed to make the clip again, and entries of the application.
    pub metadata: BTreeMap<String, String>,
}

impl RunState {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// [`WeightsError::Read`], and those of [`RunState::from_bytes`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self, WeightsError> {
        let path = path.as_ref();
        Self::from_bytes(&path.display().to_string(), Storage::map(path)?)
    }

    /// Reads a state file from memory; `file` names it in messages.
    ///
    /// # Errors
    /// Those of a safetensors file, and [`WeightsError::State`] for one that is no state, is of
    /// another version, lacks a tensor, or does not match its checksum.
    pub fn from_bytes(file: &str, bytes: impl Into<Storage>) -> Result<Self, WeightsError> {
        let checkpoint = Checkpoint::from_bytes(file, bytes, "the saved run")?;
        let wrong = |problem: String| WeightsError::State {
            file: file.to_owned(),
            problem,
        };
        let mut metadata = checkpoint.metadata();
        match metadata.remove(VERSION_KEY).as_deref() {
            None => return Err(wrong("it is no run that Kinora saved".to_owned())),
            Some(VERSION) => {}
            Some(found) => {
                let found: String = found.chars().take(20).collect();
                return Err(wrong(format!(
                    "it is of form {found:?}, expected {VERSION:?}: another version of Kinora wrote it"
                )));
            }
        }
        let damaged = |what: &str| wrong(format!("{what}: it is damaged"));
        let hash = metadata.remove(HASH_KEY);
        let steps_done = metadata.remove(STEP_KEY);
        let tensor = |name: &str| -> Result<([usize; 5], Vec<f32>), WeightsError> {
            let view = checkpoint.get_any(name)?;
            match *view.shape {
                [1, c, t, h, w] if !view.is_empty() => Ok(([1, c, t, h, w], view.to_f32())),
                _ => Err(damaged(&format!(
                    "{name} has shape {:?}, expected [1, C, T, h, w]",
                    view.shape
                ))),
            }
        };
        let progress = match steps_done {
            None if checkpoint.contains(LATENTS) => {
                let (shape, values) = tensor(LATENTS)?;
                RunProgress::All(Latents {
                    shape,
                    values,
                    metadata: metadata.clone(),
                })
            }
            None => RunProgress::Nothing,
            Some(text) => {
                let steps_done = text.parse();
                let steps_done =
                    steps_done.map_err(|_| damaged(&format!("{STEP_KEY} is no number")))?;
                let (shape, x) = tensor(SOLVER[0])?;
                let mut tensors = [x, Vec::new(), Vec::new(), Vec::new()];
                for (values, name) in tensors.iter_mut().zip(SOLVER).skip(1) {
                    let (found, read) = tensor(name)?;
                    if found != shape {
                        return Err(damaged(&format!("{name} and x differ in shape")));
                    }
                    *values = read;
                }
                let mut encoded = BTreeMap::new();
                for name in checkpoint.names() {
                    if let Some(own) = name.strip_prefix(ENCODED) {
                        let view = checkpoint.get_any(name)?;
                        let tensor = Encoded {
                            shape: view.shape.to_vec(),
                            values: view.to_f32(),
                        };
                        encoded.insert(own.to_owned(), tensor);
                    }
                }
                RunProgress::Steps(SolverState {
                    shape,
                    steps_done,
                    tensors,
                    encoded: Arc::new(encoded),
                })
            }
        };
        checkpoint.check_all_read(&[])?;
        let state = Self { progress, metadata };
        if hash != Some(state.hash()) {
            return Err(damaged("its contents do not match its checksum"));
        }
        Ok(state)
    }

    /// Writes the state to a temporary name in the same folder that is then renamed, in place of
    /// the one before: `path` never holds half a state.
    ///
    /// # Errors
    /// As [`Latents::write`].
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), WeightsError> {
        let path = path.as_ref();
        let mut metadata = self.metadata.clone();
        let mut add = |key: &str, value: String| metadata.insert(key.to_owned(), value);
        add(VERSION_KEY, VERSION.to_owned());
        add(HASH_KEY, self.hash());
        if let RunProgress::Steps(sample) = &self.progress {
            add(STEP_KEY, sample.steps_done.to_string());
        }
        let tensors = self.tensors();
        let tensors: Vec<HostTensor<'_>> = tensors
            .iter()
            .map(|(name, shape, values)| (name.as_ref(), *shape, *values))
            .collect();
        tensor_file::write(path, &tensors, &metadata)
    }

    /// Removes the file, and the temporary file of a run that was killed while writing.
    ///
    /// # Errors
    /// [`WeightsError::Write`] if the file cannot be removed.
    pub fn remove(path: impl AsRef<Path>) -> Result<(), WeightsError> {
        let path = path.as_ref();
        staged::sweep(path);
        match std::fs::remove_file(path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(WeightsError::Write {
                    path: path.to_owned(),
                    source,
                })
            }
            _ => Ok(()),
        }
    }

    fn tensors(&self) -> Vec<(Cow<'_, str>, &[usize], &[f32])> {
        match &self.progress {
            RunProgress::Nothing => Vec::new(),
            RunProgress::Steps(sample) => {
                let named = SOLVER.into_iter().zip(&sample.tensors);
                let solver =
                    named.map(|(name, values)| (name.into(), &sample.shape[..], values.as_slice()));
                let encoded = sample.encoded.iter().map(|(name, tensor)| {
                    let name = format!("{ENCODED}{name}");
                    (
                        name.into(),
                        tensor.shape.as_slice(),
                        tensor.values.as_slice(),
                    )
                });
                solver.chain(encoded).collect()
            }
            RunProgress::All(latents) => {
                vec![(
                    LATENTS.into(),
                    &latents.shape[..],
                    latents.values.as_slice(),
                )]
            }
        }
    }

    /// SHA-256 over the file's contents.
    fn hash(&self) -> String {
        let mut hash = Sha256::new();
        let mut text = |text: &str| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        };
        for (key, value) in &self.metadata {
            text(key);
            text(value);
        }
        if let RunProgress::Steps(sample) = &self.progress {
            text(&sample.steps_done.to_string());
        }
        for (name, shape, values) in self.tensors() {
            hash.update(name.as_bytes());
            for side in shape {
                hash.update((*side as u64).to_le_bytes());
            }
            let added: Result<(), std::convert::Infallible> = each_piece(values, |bytes| {
                hash.update(bytes);
                Ok(())
            });
            let Ok(()) = added;
        }
        format!("{:x}", hash.finalize())
    }
}
