//! A denoising transformer as a component.

use std::sync::Arc;

use super::conditioning::{Conditioning, Form};
use super::denoiser::{Denoiser, input_bytes};
use super::event::{Event, Observer, Stage};
use super::family::LatentSpec;
use super::model::Model;
use super::part::PartPlan;
use super::solver::solver_bytes;
use crate::cancel::Cancel;
use crate::counts::{Counted, count};
use crate::error::Error;
use crate::gpu::{Gpu, STAGING_BYTES, Stream, StreamWindow};
use crate::models::wan_transformer::{Residency, Transformer, TransformerPasses, TransformerShape};
use crate::part::Part;
use crate::record::{Caps, Recording};
use crate::text::tokenizer::MAX_TOKENS;
use crate::weights::Checkpoint;

/// A transformer recorded for a run's latents and prompts.
#[derive(Debug)]
pub(crate) struct TransformerComponent {
    part: Part,
    checkpoint: Arc<Checkpoint>,
    passes: Arc<TransformerPasses>,
    layers: usize,
    /// Prompts that a run has, and bytes of its solver.
    prompts: usize,
    solver: u64,
    form: Form,
    latents: LatentSpec,
}

impl TransformerComponent {
    /// Records the transformer for these latents, what is known of them (`form`, with so many image
    /// tokens) and prompts of these lengths, in tokens.
    pub(crate) fn new(
        caps: &Caps,
        model: &Model,
        part: Part,
        latents: &LatentSpec,
        (form, image_rows): (Form, usize),
        lengths: &[usize],
    ) -> Result<Self, Error> {
        let config = match (part, &model.config().transformer_2) {
            (Part::Transformer2, Some(second)) => second,
            _ => &model.config().transformer,
        };
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let [_, t, h, w] = latents.unbatched();
        let shape = TransformerShape {
            latents: [config.in_channels, t, h, w],
            text_length: MAX_TOKENS,
            text_rows: TransformerShape::text_rows(longest, MAX_TOKENS),
            timesteps: match form {
                Form::FirstFrame => 2,
                Form::Nothing | Form::Channels { .. } => 1,
            },
        };
        let checkpoint = model.checkpoint(part)?;
        count(Counted::Recorded(part));
        let passes =
            TransformerPasses::record_seeing(caps, config, &checkpoint, shape, image_rows)?;
        Ok(Self {
            part,
            checkpoint,
            passes: Arc::new(passes),
            layers: config.num_layers,
            prompts: lengths.len(),
            solver: solver_bytes(caps, latents.values())?,
            form,
            latents: *latents,
        })
    }

    /// The part that it is.
    pub(crate) fn part(&self) -> Part {
        self.part
    }

    /// The ways to run the transformer, the fastest first: all weights and the text's cached keys and
    /// values on the device, then without that cache, then streaming with fewer and fewer weights.
    pub(crate) fn choices(&self) -> Vec<PartPlan> {
        let choice = |residency| {
            let (weights, working) = self.passes.memory(residency, self.prompts);
            PartPlan {
                part: self.part,
                residency,
                weights,
                working: working
                    + self.solver
                    + input_bytes(self.form, &self.latents)
                    + STAGING_BYTES,
                pieces: match residency {
                    Residency::Resident | Residency::Minimal => None,
                    Residency::Streamed(window) => Some(passing(self.layers, "blocks", window)),
                },
            }
        };
        let windows = StreamWindow::choices(self.passes.set_bytes()).map(Residency::Streamed);
        let stays = [Residency::Resident, Residency::Minimal];
        stays.into_iter().chain(windows).map(choice).collect()
    }

    /// All recordings, for compiling their kernels.
    pub(crate) fn recordings(&self) -> Vec<&Recording> {
        self.passes.recordings()
    }

    /// Loads the weights and binds them to a run's conditioning; `known` says whether the first and the
    /// last frame are known.
    pub(super) fn load(
        &self,
        gpu: &Gpu,
        choice: &PartPlan,
        conditioning: &Conditioning,
        known: [bool; 2],
        cancel: &Cancel,
        observer: Observer<'_>,
    ) -> Result<Denoiser, Error> {
        let stage = Stage::Load(self.part);
        observer(Event::Started { stage, total: 1 });
        let (passes, checkpoint) = (self.passes.clone(), self.checkpoint.clone());
        let transformer = Transformer::new(gpu, passes, checkpoint, choice.residency)?;
        let mut stream = Stream::new(gpu, cancel);
        let (form, latents) = (self.form, &self.latents);
        let denoiser = Denoiser::new(
            gpu,
            transformer,
            form,
            latents,
            conditioning,
            known,
            &mut stream,
        )?;
        observer(Event::Finished { stage });
        Ok(denoiser)
    }
}

/// Describes how streamed weights pass through the device.
pub(super) fn passing(count: usize, what: &str, window: StreamWindow) -> String {
    let at_a_time = if window.slots == 1 { "one" } else { "two" };
    format!("{count} {what}, {at_a_time} at a time")
}
