//! The text encoder as a component: UMT5, streamed through the device.

use std::sync::Arc;

use super::event::{Event, Observer, Stage};
use super::model::Model;
use super::part::PartPlan;
use super::transformer::passing;
use crate::cancel::Cancel;
use crate::counts::{Counted, count};
use crate::error::Error;
use crate::gpu::{Gpu, STAGING_BYTES, StreamWindow};
use crate::models::umt5::{TextEncoder, TextPasses};
use crate::models::wan_transformer::Residency;
use crate::part::Part;
use crate::record::Caps;

/// A text encoder recorded for a run's prompts.
#[derive(Debug)]
pub(crate) struct TextComponent {
    passes: Arc<TextPasses>,
    lengths: Vec<usize>,
}

impl TextComponent {
    /// Records the encoder for prompts of these lengths, in tokens.
    pub(crate) fn new(caps: &Caps, model: &Model, lengths: &[usize]) -> Result<Self, Error> {
        let checkpoint = model.checkpoint(Part::TextEncoder)?;
        count(Counted::Recorded(Part::TextEncoder));
        let config = &model.config().text_encoder;
        let passes = TextPasses::record(caps, config, &checkpoint, lengths)?;
        Ok(Self {
            passes: Arc::new(passes),
            lengths: lengths.to_vec(),
        })
    }

    /// The ways to run it, the fastest first.
    pub(crate) fn choices(&self) -> Vec<PartPlan> {
        let choice = |window| {
            let (weights, working) = self.passes.memory(&self.lengths, window);
            PartPlan {
                part: Part::TextEncoder,
                residency: Residency::Streamed(window),
                weights,
                working: working + STAGING_BYTES,
                pieces: Some(passing(self.passes.layers(), "layers", window)),
            }
        };
        StreamWindow::choices(self.passes.set_bytes())
            .map(choice)
            .to_vec()
    }

    /// Embeddings [n, d] of prompts of n tokens each.
    pub(crate) fn encode(
        &self,
        gpu: &Gpu,
        choice: &PartPlan,
        ids: &[Vec<u32>],
        cancel: &Cancel,
        observer: Observer<'_>,
    ) -> Result<Vec<Vec<f32>>, Error> {
        let encoder = TextEncoder::new(gpu, self.passes.clone());
        let encoder = match choice.residency {
            Residency::Streamed(window) => encoder.with_window(window),
            Residency::Resident | Residency::Minimal => encoder,
        };
        let ids: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
        let (stage, total) = (Stage::Text, self.passes.layers());
        observer(Event::Started { stage, total });
        let mut each = |done| observer(Event::Progress { stage, done, total });
        let texts = encoder.encode(&ids, cancel, &mut each)?;
        observer(Event::Finished { stage });
        Ok(texts)
    }
}
