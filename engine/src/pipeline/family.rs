//! What differs between families of models. The set is closed: an enum, so that the compiler names
//! every place that a new family has to fill.

use super::conditioning::Form;
use super::decoder::Decoder;
use crate::error::Error;
use crate::model_files::{Defaults, ModelConfig, ModelFolder};
use crate::part::Part;
use crate::request::Settings;
use crate::sampling::{Guidance, StepPlan};

/// A family of models, with the configuration of the one at hand.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Family {
    /// Wan 2.1 and 2.2: UMT5, one or two transformers, `AutoencoderKLWan`.
    Wan(Box<ModelConfig>),
}

/// The medium that latents represent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Modality {
    /// Pictures in time.
    Video,
}

/// The latents that a run denoises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatentSpec {
    /// The medium that they represent.
    pub modality: Modality,
    /// [1, C, T, h, w].
    pub shape: [usize; 5],
}

impl LatentSpec {
    /// [C, T, h, w].
    pub(crate) fn unbatched(&self) -> [usize; 4] {
        let [_, c, t, h, w] = self.shape;
        [c, t, h, w]
    }

    /// How many values there are.
    pub(crate) fn values(&self) -> usize {
        self.shape.iter().product()
    }
}

/// One turn of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Turn {
    /// An encoder makes its share of the conditioning.
    Encode(Part),
    /// The steps of this range denoise one chunk of the latents, by one transformer.
    Denoise {
        /// The transformer.
        part: Part,
        /// Steps, counted from 0.
        steps: std::ops::Range<usize>,
    },
    /// A decoder turns finished latents into frames or sound.
    Decode(Part),
}

/// The turns of a run, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program(pub Vec<Turn>);

impl Program {
    /// The parts, each once, in the order of their first turns.
    pub fn parts(&self) -> Vec<Part> {
        let mut parts = Vec::new();
        for turn in &self.0 {
            let (Turn::Encode(part) | Turn::Denoise { part, .. } | Turn::Decode(part)) = turn;
            if !parts.contains(part) {
                parts.push(*part);
            }
        }
        parts
    }
}

impl Family {
    /// The family of the model in a folder.
    ///
    /// # Errors
    /// A configuration that is missing, corrupt, or of no family that is known.
    pub fn detect(folder: &ModelFolder) -> Result<Self, Error> {
        Ok(Self::Wan(Box::new(folder.config()?)))
    }

    /// What a run does unless the request says otherwise.
    pub fn defaults(&self) -> &Defaults {
        let Self::Wan(config) = self;
        &config.defaults
    }

    /// The parts whose weights the model's hash covers, in the order in which they are hashed.
    pub fn weights(&self) -> Vec<Part> {
        let Self::Wan(config) = self;
        let second = config.transformer_2.is_some();
        let all = [
            Some(Part::TextEncoder),
            config.image_encoder.as_ref().map(|_| Part::ImageEncoder),
            Some(Part::Transformer),
            second.then_some(Part::Transformer2),
            Some(Part::VaeDecoder),
        ];
        all.into_iter().flatten().collect()
    }

    /// The latents of a run.
    pub fn latents(&self, settings: &Settings) -> LatentSpec {
        let Self::Wan(config) = self;
        LatentSpec {
            modality: Modality::Video,
            shape: settings.latent_shape(config),
        }
    }

    /// How a run is guided.
    pub(crate) fn guidance(&self, settings: &Settings) -> Guidance {
        let Self::Wan(config) = self;
        let two = config.transformer_2.as_ref();
        Guidance {
            scale: settings.guidance as f32,
            low_noise_scale: settings.guidance_2.map(|scale| scale as f32),
            boundary_ratio: two.and(config.pipeline.boundary_ratio),
            stop: settings.guidance_stop.unwrap_or(1.0),
        }
    }

    /// How the transformer sees the frames that a run knows.
    pub(crate) fn form(&self, settings: &Settings) -> Form {
        let Self::Wan(config) = self;
        Form::of(config, &settings.inputs)
    }

    /// The turns of a run of these steps.
    pub fn program(&self, settings: &Settings, steps: &[StepPlan], decoder: &Decoder) -> Program {
        let form = self.form(settings);
        let mut turns = vec![Turn::Encode(Part::TextEncoder)];
        if form.pictures() > 0 {
            turns.push(Turn::Encode(Part::ImageEncoder));
        }
        if form != Form::Nothing || settings.inputs.video.is_some() {
            turns.push(Turn::Encode(Part::VaeEncoder));
        }
        for (index, step) in steps.iter().enumerate() {
            let own = Part::of(step.expert);
            match turns.last_mut() {
                Some(Turn::Denoise { part, steps }) if *part == own => steps.end = index + 1,
                _ => turns.push(Turn::Denoise {
                    part: own,
                    steps: index..index + 1,
                }),
            }
        }
        turns.extend(decoder.part().map(Turn::Decode));
        Program(turns)
    }
}
