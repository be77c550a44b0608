//! LoRA: small files that change a transformer (Hu et al. 2021, `W + scale up down`).
//!
//! A change of low rank stays one: the layer computes `x W^T + (x down^T) up^T`
//! ([`Linear`](crate::nn::Linear)), so that weights of any element type, streamed or not, are read
//! as they are, and nothing is rounded again. Several files become one pair of matrices a layer,
//! [`down_0; down_1; …`] and `[scale_0 up_0, scale_1 up_1, …]`. Differences of whole tensors
//! (`diff`, `diff_b`, which some distilled models bring for biases and norms) are added once, in
//! f32.
//!
//! | what | names that are read |
//! |---|---|
//! | layers | diffusers' and PEFT's, Wan's original, kohya's (`lora_unet_blocks_0_self_attn_q`), under the usual prefixes |
//! | matrices | `lora_A`, `lora_B` (with or without `.default`), `lora_down`, `lora_up` |
//! | scale | `alpha` of the layer over its rank; `lora_alpha` and `alpha_pattern` of diffusers' metadata; else 1 |
//! | differences | `diff` (weight), `diff_b` (bias), `diff_m` (modulation); `lora_B.bias` (bias), scaled as `lora_B` is |
//!
//! Reference: `lora_conversion_utils.py` and `WanLoraLoaderMixin` of diffusers.

mod file;
mod layers;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::error::{AdapterError, WeightsError};
use crate::weights::{Checkpoint, Overlay};

use file::LoraFile;

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

/// The LoRAs of a model, and what they came to for each part that was asked for.
#[derive(Debug, Default)]
pub struct Loras {
    list: Vec<Lora>,
    made: Mutex<Vec<(String, Overlay)>>,
}

impl Loras {
    /// Those, for a model with two transformers or one.
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
        let mut files = self.list.iter().filter(|lora| lora.is_for(part)).peekable();
        if files.peek().is_none() || !part.starts_with("transformer") {
            return Ok(checkpoint);
        }
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, overlay)) = made.iter().find(|(known, _)| known == part) {
            return Ok(checkpoint.overlaid(overlay));
        }
        let files = files.map(|lora| LoraFile::open(lora, &checkpoint));
        let files = files.collect::<Result<Vec<_>, _>>()?;
        let overlay = layers::overlay(&files, &checkpoint)?;
        made.push((part.to_owned(), overlay.clone()));
        Ok(checkpoint.overlaid(&overlay))
    }
}
