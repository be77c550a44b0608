//! Latents to frames: a half of a job, or by itself for latents that were saved.

use super::device::{Half, MemoryTaken};
use super::engine::Engine;
use super::sink::{ClipInfo, Frame, Sink};
use crate::cancel::Cancel;
use crate::error::{Error, RequestError};
use crate::models::vae::DecodePlan;
use crate::pipeline::{
    Decode, DecoderComponent, Event, LatentSpec, Modality, Observer, PartPlan, Picture, decode,
};
use crate::weights::Latents;

/// A decode of latents of one shape, prepared.
#[derive(Debug)]
pub struct Decoding {
    engine: Engine,
    component: DecoderComponent,
    plan: Option<(PartPlan, DecodePlan)>,
    /// What the plan was made for.
    budget: Option<u64>,
    taken: Option<MemoryTaken>,
}

impl Decoding {
    pub(super) fn open(engine: &Engine, shape: [usize; 5]) -> Result<Self, Error> {
        let latents = LatentSpec {
            modality: Modality::Video,
            shape,
        };
        let component = DecoderComponent::open(&engine.decoder, &engine.model, latents)?;
        let budget = engine.device.budget(Half::Decoding);
        let plan = component.plan(engine.gpu().caps(), budget)?;
        Ok(Self {
            engine: engine.clone(),
            component,
            plan,
            budget,
            taken: None,
        })
    }

    /// What the decode takes on the device; `None` for a decoder that works on the host.
    pub fn plan(&self) -> Option<&PartPlan> {
        self.plan.as_ref().map(|(part, _)| part)
    }

    /// Width and height of the frames before they are cropped.
    pub fn size(&self) -> [usize; 2] {
        let [_, _, _, h, w] = self.component.latents.shape;
        [w, h].map(|side| side * self.component.scale[1])
    }

    /// How many frames there will be.
    pub fn frames(&self) -> usize {
        let [_, _, t, _, _] = self.component.latents.shape;
        t.saturating_sub(1) * self.component.scale[0] + 1
    }

    /// What the last run took on the device.
    pub fn memory_taken(&self) -> Option<MemoryTaken> {
        self.taken
    }

    /// Decodes into a sink, frame by frame in order, each cropped centrally to `info`'s size. Where
    /// the device is lost or has no room, it is tried once more; no frame is handed out twice.
    ///
    /// # Errors
    /// Latents of another shape, no room on the device, cancelled, or the sink's own error.
    pub fn run(
        &mut self,
        latents: &Latents,
        info: &ClipInfo,
        sink: &mut dyn Sink,
        observer: Observer<'_>,
        cancel: &Cancel,
    ) -> Result<(), Error> {
        let half = HalfRun {
            engine: &self.engine,
            component: &self.component,
            plan: self.plan.as_ref(),
            budget: self.budget,
        };
        self.taken = Some(half.run(latents, info, sink, observer, cancel)?);
        Ok(())
    }
}

/// The decode of a run.
pub(super) struct HalfRun<'a> {
    pub(super) engine: &'a Engine,
    pub(super) component: &'a DecoderComponent,
    /// The plan within `budget`; another budget needs another.
    pub(super) plan: Option<&'a (PartPlan, DecodePlan)>,
    pub(super) budget: Option<u64>,
}

impl HalfRun<'_> {
    pub(super) fn run(
        &self,
        latents: &Latents,
        info: &ClipInfo,
        sink: &mut dyn Sink,
        observer: Observer<'_>,
        cancel: &Cancel,
    ) -> Result<MemoryTaken, Error> {
        let expected = self.component.latents.shape;
        if latents.shape != expected {
            return Err(RequestError::LatentsShape {
                found: latents.shape,
                expected,
            }
            .into());
        }
        let device = &self.engine.device;
        let caps = device.gpu().caps().clone();
        let planned = |budget| -> Result<u64, Error> {
            let plan = match self.plan {
                Some((plan, _)) if budget == self.budget => return Ok(plan.bytes()),
                _ => self.component.plan(&caps, budget)?,
            };
            Ok(plan.map_or(0, |(plan, _)| plan.bytes()))
        };
        sink.begin(info)?;
        let mut handed_out = 0;
        let mut next = |index: usize, picture: Picture<'_>| {
            if index == handed_out {
                sink.frame(&Frame::new(index, picture))?;
                handed_out += 1;
            }
            Ok(())
        };
        let mut attempt = |gpu: &crate::gpu::Gpu, budget, observer: Observer<'_>| {
            let plan = match self.plan {
                Some((_, plan)) if budget == self.budget => Some(plan.clone()),
                _ => self
                    .component
                    .plan(gpu.caps(), budget)?
                    .map(|(_, plan)| plan),
            };
            let how = Decode {
                component: self.component,
                plan,
                budget,
                size: [info.width, info.height],
            };
            decode(gpu, how, latents, cancel, observer, &mut next)
        };
        let decoded = device.with_retry(Half::Decoding, &planned, observer, &mut attempt);
        let taken = match decoded {
            Ok(((), taken)) => taken,
            // A failed sink knows the original reason, which matters more than the error it caused here.
            Err(Error::Cancelled) => {
                sink.abandon();
                return Err(Error::Cancelled);
            }
            Err(error) => return Err(sink.abandon().unwrap_or(error)),
        };
        // The sink now completes the result in one step: it appears whole or not at all.
        observer(Event::Completing);
        if cancel.is_cancelled() {
            sink.abandon();
            return Err(Error::Cancelled);
        }
        sink.finish()?;
        Ok(taken)
    }
}
