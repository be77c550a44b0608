//! The component that encodes pictures and clips to latents: the model's own autoencoder.

use std::sync::{Arc, Mutex, PoisonError};

use super::conditioning::Form;
use super::event::{Event, Observer, Stage};
use super::frames::Frames;
use super::memory::too_large;
use super::model::Model;
use super::part::PartPlan;
use crate::cancel::Cancel;
use crate::counts::{Counted, count};
use crate::error::{Error, RequestError, VaeError};
use crate::gpu::{Gpu, STAGING_BYTES};
use crate::model_files::that_start_from;
use crate::models::config::VaeConfig;
use crate::models::vae::{EncodePlan, VaeEncoder};
use crate::models::wan_transformer::Residency;
use crate::part::Part;
use crate::record::Caps;
use crate::request::Settings;
use crate::weights::{Checkpoint, Encoded};

use super::decoder::decode_options;

/// A tensor that every encoder has.
const FIRST: &str = "encoder.conv_in.weight";

/// An encoder for the pictures or the clip of a run.
#[derive(Debug)]
pub(crate) struct EncoderComponent {
    checkpoint: Arc<Checkpoint>,
    config: VaeConfig,
    /// Frames, rows and columns that are encoded.
    video: [usize; 3],
    /// The plan of the budget that was asked for last.
    planned: Mutex<Option<(Option<u64>, PartPlan, EncodePlan)>>,
}

impl EncoderComponent {
    /// The encoder of a run that starts from pictures or a clip; `None` for others.
    ///
    /// # Errors
    /// Weights that are missing.
    pub(crate) fn open(
        model: &Model,
        settings: &Settings,
        form: Form,
    ) -> Result<Option<Self>, Error> {
        let frames = match form {
            // The picture alone is encoded, as a video of one frame.
            Form::FirstFrame => 1,
            Form::Channels { .. } => settings.frames,
            Form::Nothing if settings.inputs.video.is_some() => settings.frames,
            Form::Nothing => return Ok(None),
        };
        let [width, height] = settings.made;
        let checkpoint = model.checkpoint(Part::VaeEncoder)?;
        if !checkpoint.contains(FIRST) {
            return Err(RequestError::NoEncoder {
                model: model.config().defaults.name.clone(),
                can: that_start_from("video"),
            }
            .into());
        }
        Ok(Some(Self {
            checkpoint,
            config: model.config().vae.clone(),
            video: [frames, height, width],
            planned: Mutex::default(),
        }))
    }

    /// The same for another number of frames of the clip.
    pub(crate) fn with_frames(&self, frames: usize) -> Self {
        let [own, height, width] = self.video;
        Self {
            checkpoint: self.checkpoint.clone(),
            config: self.config.clone(),
            video: [own.min(frames), height, width],
            planned: Mutex::default(),
        }
    }

    /// How the encode is laid out within a budget, and what it takes.
    ///
    /// # Errors
    /// [`RequestError::Memory`](crate::error::RequestError::Memory) where no layout fits; weights that
    /// are missing or of another shape.
    pub(crate) fn plan(
        &self,
        caps: &Caps,
        budget: Option<u64>,
    ) -> Result<(PartPlan, EncodePlan), Error> {
        let mut planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, part, plan)) = &*planned
            && *known == budget
        {
            return Ok((part.clone(), plan.clone()));
        }
        let options = decode_options(budget);
        count(Counted::Recorded(Part::VaeEncoder));
        let plan = EncodePlan::new(caps, &self.config, &self.checkpoint, self.video, &options);
        let plan = match plan {
            Err(Error::Vae(VaeError::DoesNotFit {
                needed, available, ..
            })) if options.max_bytes == Some(available) => {
                let budget = budget.unwrap_or(available);
                return Err(too_large(Part::VaeEncoder, needed + STAGING_BYTES, budget));
            }
            plan => plan?,
        };
        let layout = plan.layout;
        let part = PartPlan {
            part: Part::VaeEncoder,
            residency: Residency::Resident,
            weights: layout.memory.weights,
            working: layout.peak_bytes() - layout.memory.weights + STAGING_BYTES,
            pieces: layout.band.map(|lines| {
                format!(
                    "bands of {} lines",
                    lines * self.config.scale_factor_spatial
                )
            }),
        };
        *planned = Some((budget, part.clone(), plan.clone()));
        Ok((part, plan))
    }

    /// Encodes the run's pictures or clip: normalised latents [C, T, h, w].
    ///
    /// # Errors
    /// No room on the device, cancelled, or a clip that cannot be read.
    pub(crate) fn encode(
        &self,
        gpu: &Gpu,
        budget: Option<u64>,
        settings: &Settings,
        cancel: &Cancel,
        observer: Observer<'_>,
    ) -> Result<Encoded, Error> {
        let load = Stage::Load(Part::VaeEncoder);
        let total = 1;
        observer(Event::Started { stage: load, total });
        let (_, plan) = self.plan(gpu.caps(), budget)?;
        let options = decode_options(budget);
        let (config, checkpoint) = (&self.config, &self.checkpoint);
        let encoder = VaeEncoder::planned(gpu, config, checkpoint, self.video, &options, plan)?;
        observer(Event::Finished { stage: load });
        let mut frames = Frames::new(&settings.inputs, settings.made, self.video[0]);
        let stage = Stage::Encode;
        let mut begun = false;
        let values = encoder.encode(
            cancel,
            &mut |number, into| frames.read(number, into),
            |done, total| {
                if !begun {
                    observer(Event::Started { stage, total });
                    begun = true;
                }
                observer(Event::Progress { stage, done, total });
                Ok(())
            },
        )?;
        observer(Event::Finished { stage });
        Ok(Encoded {
            shape: encoder.latents().to_vec(),
            values,
        })
    }
}
