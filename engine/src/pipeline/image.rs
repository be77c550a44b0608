//! The image encoder as a component: CLIP, streamed through the device.

use std::sync::Arc;

use super::event::{Event, Observer, Stage};
use super::model::Model;
use super::part::PartPlan;
use super::transformer::passing;
use crate::cancel::Cancel;
use crate::counts::{Counted, count};
use crate::error::{Error, RequestError};
use crate::gpu::{Gpu, STAGING_BYTES, StreamWindow};
use crate::models::clip::{ImageEncoder, ImageLayers};
use crate::models::config::ImageEncoderConfig;
use crate::models::wan_transformer::Residency;
use crate::part::Part;
use crate::pictures::{ClipView, clip_input};
use crate::record::Caps;
use crate::request::Inputs;
use crate::weights::{Checkpoint, Encoded};

/// An image encoder for a run's pictures.
#[derive(Debug)]
pub(crate) struct ImageComponent {
    checkpoint: Arc<Checkpoint>,
    config: ImageEncoderConfig,
    pictures: usize,
    choices: Vec<PartPlan>,
}

impl ImageComponent {
    /// Records the encoder for a number of pictures.
    ///
    /// # Errors
    /// Weights that are missing or of another shape.
    pub(crate) fn new(caps: &Caps, model: &Model, pictures: usize) -> Result<Self, Error> {
        let part = Part::ImageEncoder;
        let missing = RequestError::NotPlanned { part: part.name() };
        let config = model.config().image_encoder.clone().ok_or(missing)?;
        let checkpoint = model.checkpoint(part)?;
        count(Counted::Recorded(part));
        let layers = ImageLayers::new(caps, &config, &checkpoint)?;
        let mut choices = Vec::new();
        for window in StreamWindow::choices(layers.set_bytes()?) {
            let (weights, working) = layers.memory(pictures, window)?;
            choices.push(PartPlan {
                part,
                residency: Residency::Streamed(window),
                weights,
                working: working + STAGING_BYTES,
                pieces: Some(passing(config.num_hidden_layers - 1, "layers", window)),
            });
        }
        Ok(Self {
            checkpoint,
            config,
            pictures,
            choices,
        })
    }

    /// The ways to run it, the fastest first.
    pub(crate) fn choices(&self) -> Vec<PartPlan> {
        self.choices.clone()
    }

    /// Image tokens of a run.
    pub(crate) fn tokens(&self) -> usize {
        self.config.tokens() * self.pictures
    }

    /// The states [tokens, image_dim] of the run's pictures, one after the other. CLIP sees the
    /// pictures as their files have them, not as they were fitted to the clip.
    ///
    /// # Errors
    /// No room on the device, or cancelled.
    pub(crate) fn encode(
        &self,
        gpu: &Gpu,
        choice: &PartPlan,
        inputs: &Inputs,
        cancel: &Cancel,
        observer: Observer<'_>,
    ) -> Result<Encoded, Error> {
        let pictures = [&inputs.image, &inputs.last_image];
        let pictures: Vec<Vec<f32>> = pictures
            .into_iter()
            .flatten()
            .map(|input| clip_input(&input.picture, self.config.image_size, ClipView::Crop))
            .collect();
        let pictures: Vec<&[f32]> = pictures.iter().map(Vec::as_slice).collect();
        let encoder = ImageEncoder::new(gpu, &self.config, &self.checkpoint)?;
        let encoder = match choice.residency {
            Residency::Streamed(window) => encoder.with_window(window),
            Residency::Resident | Residency::Minimal => encoder,
        };
        let (stage, total) = (Stage::Image, self.config.num_hidden_layers - 1);
        observer(Event::Started { stage, total });
        let mut each = |done| observer(Event::Progress { stage, done, total });
        let states = encoder.encode(&pictures, cancel, &mut each)?;
        observer(Event::Finished { stage });
        Ok(Encoded {
            shape: vec![self.config.tokens() * states.len(), self.config.hidden_size],
            values: states.concat(),
        })
    }
}
