//! LoRA and its kin: small files that change a transformer.
//!
//! A change of low rank stays one: the layer computes `x W^T + (x down^T) up^T`
//! ([`Linear`](crate::nn::Linear)), so that weights of any element type, streamed or not, are read
//! as they are, and nothing is rounded again. Several files become one pair of matrices a layer,
//! [`down_0; down_1; …`] and `[scale_0 up_0, scale_1 up_1, …]`. LoHa and LoKr of small rank become
//! such pairs too: up to an eighth of the matrix's smaller side.
//!
//! What is no small pair (DoRA, LoHa and LoKr of larger rank, differences of whole tensors) is merged
//! into its weight each time that the weight is asked for ([`Merge`](crate::weights::Merge)): once
//! for a weight that stays on the device, for every pass for one that is streamed. A merged matrix
//! has its file's type where that is f32, f16 or bf16, and is bf16 where the base is quantised, since
//! a quantised type would round the change away; memory plans count it as that. `quantized` makes
//! it small again, after the merge. Every change is one of the stored weight: neither the order of
//! files matters, nor does a DoRA see what others add.
//!
//! | what | names that are read |
//! |---|---|
//! | layers | diffusers' and PEFT's, Wan's original, kohya's and LyCORIS' (`lora_unet_blocks_0_self_attn_q`, `lora_unet__…`, `lycoris_…`), under the usual prefixes |
//! | experts | `transformer_1.` for high noise and `transformer_2.` for low, in one file |
//! | LoRA | `lora_A`, `lora_B` (with or without `.default`, `.weight`), `lora_down`, `lora_up`, `lora.down`, `lora.up` |
//! | LoHa | `hada_w1_a`, `hada_w1_b`, `hada_w2_a`, `hada_w2_b` |
//! | LoKr | `lokr_w1` or `lokr_w1_a`, `lokr_w1_b`; `lokr_w2` likewise |
//! | DoRA | any of these with `dora_scale` or `lora_magnitude_vector`, by rows [N, 1] or columns [1, K]; a strength goes from the stored weight to the trained one |
//! | scale | `alpha` of the layer over its rank; `lora_alpha` and `alpha_pattern` of diffusers' metadata; else 1 |
//! | differences | `diff`, `w_norm` (weight), `diff_b`, `b_norm` (bias), `diff_m`, `modulation.diff` (modulation); `lora_B.bias` (bias), scaled as `lora_B` is |
//!
//! Of a file trained on image-to-video, what a model of text has no layers for (the keys, values and
//! norms of the image's embedding, and what embeds the image) is left out, and [counted](LoraNote).
//!
//! Reference: `lora_conversion_utils.py` and `WanLoraLoaderMixin` of diffusers; peft; lycoris_lora.

mod factors;
mod file;
mod info;
mod matrix;
mod overlay;
mod roles;
mod typed;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::error::{AdapterError, WeightsError};
use crate::weights::{Checkpoint, Overlay};

use file::LoraFile;
use overlay::{Applied, overlay};

pub use info::{LoraFit, LoraInfo};

/// Which transformers of a model with two a LoRA changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Experts {
    /// All there are.
    #[default]
    All,
    /// The one for high noise, `transformer`.
    High,
    /// The one for low noise, `transformer_2`.
    Low,
}

/// A LoRA file, how strongly it is applied, and to what.
#[derive(Clone, Debug, PartialEq)]
pub struct Lora {
    /// The file: safetensors, or any container that weights are read from.
    pub file: PathBuf,
    /// What its change is multiplied by; 1 as it was trained.
    pub strength: f32,
    /// Which transformers.
    pub experts: Experts,
}

impl Lora {
    /// A file as it was trained, for every transformer.
    #[must_use]
    pub fn new(file: impl Into<PathBuf>) -> Self {
        Self {
            file: file.into(),
            strength: 1.0,
            experts: Experts::All,
        }
    }

    fn is_for(&self, part: &str) -> bool {
        match self.experts {
            Experts::All => true,
            Experts::High => part == "transformer",
            Experts::Low => part == "transformer_2",
        }
    }
}

/// `FILE`, `FILE:0.8`, `high=FILE`: as the command line takes it.
impl fmt::Display for Lora {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.experts {
            Experts::All => "",
            Experts::High => "high=",
            Experts::Low => "low=",
        })?;
        write!(f, "{}:{}", self.file.display(), self.strength)
    }
}

/// The LoRAs of a model, and their combined changes for each part that was requested.
#[derive(Debug, Default)]
pub struct Loras {
    list: Vec<Lora>,
    two_experts: bool,
    made: Mutex<Vec<Prepared>>,
}

/// The combined changes of the LoRAs to one part.
#[derive(Clone, Debug)]
struct Prepared {
    part: String,
    overlay: Overlay,
    notes: Vec<LoraNote>,
}

/// Layers of a LoRA that were left out, displayed as one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoraNote {
    /// The file.
    pub file: String,
    /// How many layers of images it holds that the model does not have.
    pub layers: usize,
}

impl fmt::Display for LoraNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, layers } = self;
        write!(
            f,
            "{file}: {layers} layers that read an image are left out: it was trained on image-to-video, and this model reads text alone"
        )
    }
}

impl Loras {
    /// The LoRAs for a model with two transformers or one.
    ///
    /// # Errors
    /// [`AdapterError::Strength`] and [`AdapterError::NoExperts`].
    pub fn new(list: Vec<Lora>, two_experts: bool) -> Result<Self, AdapterError> {
        for lora in &list {
            let file = lora.file.display().to_string();
            if !lora.strength.is_finite() {
                let found = lora.strength;
                return Err(AdapterError::Strength { file, found });
            }
            let expert = match lora.experts {
                Experts::High => "high",
                Experts::Low => "low",
                Experts::All => continue,
            };
            if !two_experts {
                return Err(AdapterError::NoExperts { file, expert });
            }
        }
        Ok(Self {
            list,
            two_experts,
            made: Mutex::default(),
        })
    }

    /// The LoRAs, as they were given.
    pub fn list(&self) -> &[Lora] {
        &self.list
    }

    /// A part's weights with what the LoRAs change in it. The files are read once.
    ///
    /// # Errors
    /// A file that cannot be read, or an [`AdapterError`].
    pub fn apply(&self, part: &str, checkpoint: Checkpoint) -> Result<Checkpoint, WeightsError> {
        Ok(match self.prepared(part, &checkpoint)? {
            None => checkpoint,
            Some(prepared) => checkpoint.overlaid(&prepared.overlay),
        })
    }

    /// The layers of the LoRAs that `part` lacks, given its own `checkpoint`. The files are read once.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn notes(
        &self,
        part: &str,
        checkpoint: &Checkpoint,
    ) -> Result<Vec<LoraNote>, WeightsError> {
        let prepared = self.prepared(part, checkpoint)?;
        Ok(prepared.map_or_else(Vec::new, |prepared| prepared.notes))
    }

    fn prepared(
        &self,
        part: &str,
        checkpoint: &Checkpoint,
    ) -> Result<Option<Prepared>, WeightsError> {
        let mut files = self.list.iter().filter(|lora| lora.is_for(part)).peekable();
        if files.peek().is_none() || !part.starts_with("transformer") {
            return Ok(None);
        }
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = made.iter().find(|known| known.part == part) {
            return Ok(Some(known.clone()));
        }
        let files = files.map(|lora| Ok((LoraFile::read(&lora.file)?, lora)));
        let files = files.collect::<Result<Vec<_>, WeightsError>>()?;
        let mut applied: Vec<Applied<'_>> = Vec::new();
        for (file, lora) in &files {
            if !self.two_experts && file.is_for_two() {
                let file = file.name.clone();
                return Err(AdapterError::TwoExperts { file }.into());
            }
            let fit = file.fitted(part, checkpoint)?;
            if fit.layers.is_empty() && lora.experts != Experts::All {
                let file = file.name.clone();
                return Err(AdapterError::NoneForExpert {
                    file,
                    part: part.to_owned(),
                }
                .into());
            }
            applied.push((file, lora.strength, fit));
        }
        let notes = applied.iter().filter(|(.., fit)| fit.of_images > 0);
        let notes = notes.map(|(file, _, fit)| LoraNote {
            file: file.name.clone(),
            layers: fit.of_images,
        });
        let prepared = Prepared {
            part: part.to_owned(),
            overlay: overlay(&applied, checkpoint)?,
            notes: notes.collect(),
        };
        made.push(prepared.clone());
        Ok(Some(prepared))
    }
}
