//! Prompt to latents: text encoding and the denoising loop.
//!
//! The order of `WanPipeline.__call__` (diffusers): text, noise, then for each step one or two
//! passes of the transformer, guidance and the solver's step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::engine::{Engine, Event, Stage};
use super::memory::{MemoryPlan, Planned};
use super::request::Settings;
use super::retry::Task;
use super::solver::Solver;
use crate::error::{Error, RequestError};
use crate::gpu::{Cancel, Stream};
use crate::models::umt5::TextEncoder;
use crate::models::wan_transformer::{Context, Residency, Transformer, TransformerPasses};
use crate::sampling::{Expert, Guidance, Noise, Schedule, StepPlan, plan_steps};
use crate::weights::{Latents, Sample};

impl Engine {
    /// The noise levels and the solver's coefficients of a run.
    pub(super) fn schedule(&self, settings: &Settings) -> Result<Vec<StepPlan>, Error> {
        let schedule = Schedule::new(&self.scheduler(settings)?, settings.steps)?;
        let guidance = Guidance {
            scale: settings.guidance as f32,
            low_noise_scale: settings.guidance_2.map(|scale| scale as f32),
            boundary_ratio: self
                .config
                .transformer_2
                .as_ref()
                .and(self.config.pipeline.boundary_ratio),
            stop: settings.guidance_stop.unwrap_or(1.0),
        };
        Ok(plan_steps(&schedule, &guidance)?)
    }

    /// Encodes the prompts and denoises: the latents in the model's normalised space, what
    /// diffusers returns for `output_type="latent"`. The text encoder's weights leave the device
    /// before the transformer's come, and those before this returns.
    ///
    /// # Errors
    /// Weights that are missing or of another shape, no room on the device, cancelled.
    pub fn sample(
        &self,
        settings: &Settings,
        cancel: &Cancel,
        events: &mut dyn FnMut(Event),
    ) -> Result<Latents, Error> {
        self.sample_from(settings, None, cancel, events, &mut |_| {})
    }

    /// As [`Engine::sample`], going on from what an earlier run of the same settings kept, if it
    /// did: on the same device the latents are the same, bit for bit, as without a break. Where the
    /// device is lost or has no room, the run goes on once more with less memory, on the device
    /// opened anew. `keep`
    /// gets what this run can be gone on from: now and then, so that handing it out and keeping it
    /// take at most a hundredth of the time, and when the run ends early.
    ///
    /// # Errors
    /// As [`Engine::sample`], and [`RequestError::Sample`] for a sample of another run.
    pub fn sample_from(
        &self,
        settings: &Settings,
        from: Option<&Sample>,
        cancel: &Cancel,
        events: &mut dyn FnMut(Event),
        keep: &mut dyn FnMut(&Sample),
    ) -> Result<Latents, Error> {
        // What is handed out to be kept is what a second attempt begins from.
        let mut last = from.cloned();
        self.with_retry(&Task::Sample(settings), events, &mut |engine, events| {
            let from = last.take();
            let mut keep = |sample: &Sample| {
                last = Some(sample.clone());
                keep(sample);
            };
            let sampled = engine.compiling_ahead(settings, || {
                engine.sample_once(settings, from.as_ref(), cancel, events, &mut keep)
            });
            last = last.take().or(from);
            sampled
        })
    }

    fn sample_once(
        &self,
        settings: &Settings,
        from: Option<&Sample>,
        cancel: &Cancel,
        events: &mut dyn FnMut(Event),
        keep: &mut dyn FnMut(&Sample),
    ) -> Result<Latents, Error> {
        let steps = self.schedule(settings)?;
        let shape = settings.latent_shape(&self.config);
        if let Some(sample) = from {
            check(sample, shape, steps.len())?;
        }
        let ids = self.prompts(settings, &steps)?;
        let prompts: Vec<usize> = ids.iter().map(Vec::len).collect();
        let run = self.planned(settings, &prompts);
        let plan = match self.reduced.sampling {
            None => MemoryPlan::new(run, self.memory)?,
            reduced => MemoryPlan::of_sampling(run, reduced)?,
        };
        let texts = self.encode(&ids, &plan, cancel, events)?;

        let order = self.scheduler(settings)?.noise_order();
        let mut noise = Noise::new(u64::from(settings.seed))?;
        let first = noise.latents(shape, order);
        let solver = match from {
            Some(sample) => Solver::new(&self.gpu, shape, &sample.tensors)?,
            None => Solver::new(&self.gpu, shape, &[first])?,
        };
        let mut steps_done = from.map_or(0, |sample| sample.steps_done);
        let passes = |steps: &[StepPlan]| -> usize {
            let passes = steps.iter().map(|s| 1 + usize::from(s.guidance.is_some()));
            passes.sum()
        };
        let (before, rest) = steps.split_at(steps_done);
        let (skipped, total) = (passes(before), passes(&steps));
        // The steps that are done have had theirs.
        for _ in before.iter().filter(|step| step.coefficients.renoises) {
            noise.latents(shape, order);
        }
        let mut done = skipped;
        let mut pace = Pace::new(steps_done);
        let mut loaded: Option<(Expert, Denoiser)> = None;
        let mut step = |step: &StepPlan| -> Result<(), Error> {
            let denoiser = match loaded.take() {
                Some((expert, denoiser)) if expert == step.expert => denoiser,
                other => {
                    // The first expert's weights go before the second's come.
                    drop(other);
                    self.load(step.expert, run, &plan, &texts, cancel, events)?
                }
            };
            if done == skipped {
                let stage = Stage::Sample;
                events(Event::Started { stage, total });
                if skipped > 0 {
                    events(Event::Resumed { stage, skipped });
                }
            }
            let mut stream = Stream::new(&self.gpu, cancel);
            let uncond = step.guidance.and(denoiser.uncond.as_ref());
            let passes = [(&denoiser.cond, &solver.v_cond)]
                .into_iter()
                .chain(uncond.map(|context| (context, &solver.v_uncond)));
            for (context, velocity) in passes {
                let timesteps = [step.timestep];
                let transformer = &denoiser.transformer;
                transformer.forward(&mut stream, &timesteps, &solver.x, context, velocity)?;
                stream.finish()?;
                done += 1;
                events(Event::Progress {
                    stage: Stage::Sample,
                    done,
                    total,
                });
            }
            if step.coefficients.renoises {
                let fresh = noise.latents(shape, order);
                self.gpu
                    .write(solver.last(), 0, bytemuck::cast_slice(&fresh))?;
            }
            solver.step(step)?;
            if self.previews {
                let values = solver.clean()?;
                let metadata = BTreeMap::new();
                events(Event::Predicted {
                    step: step.index + 1,
                    steps: steps.len(),
                    latents: Arc::new(Latents {
                        shape,
                        values,
                        metadata,
                    }),
                });
            }
            loaded = Some((step.expert, denoiser));
            Ok(())
        };
        let mut ended = Ok(());
        for plan in rest {
            ended = step(plan);
            if ended.is_err() {
                break;
            }
            steps_done += 1;
            if steps_done < steps.len() && pace.is_due() {
                pace.keep(
                    || solver.sample(steps_done).map(|sample| keep(&sample)),
                    steps_done,
                )?;
            }
        }
        if let Err(error) = ended {
            // The last whole step is still on the device, unless that has failed.
            if steps_done > pace.kept
                && let Ok(sample) = solver.sample(steps_done)
            {
                keep(&sample);
            }
            return Err(error);
        }
        drop(loaded);
        events(Event::Finished {
            stage: Stage::Sample,
        });
        Ok(Latents {
            shape,
            values: solver.x()?,
            metadata: BTreeMap::new(),
        })
    }

    /// What a run takes on the device, within the engine's budget.
    ///
    /// # Errors
    /// As [`MemoryPlan::new`].
    pub fn memory_plan(&self, settings: &Settings) -> Result<MemoryPlan, Error> {
        let ids = self.prompts(settings, &self.schedule(settings)?)?;
        let prompts: Vec<usize> = ids.iter().map(Vec::len).collect();
        MemoryPlan::new(self.planned(settings, &prompts), self.memory)
    }

    /// Bytes of device memory that sampling takes within the budget.
    pub(super) fn sampling_bytes(&self, settings: &Settings) -> Result<u64, Error> {
        let ids = self.prompts(settings, &self.schedule(settings)?)?;
        let prompts: Vec<usize> = ids.iter().map(Vec::len).collect();
        let budget = self.reduced.sampling.or(self.memory);
        let plan = MemoryPlan::of_sampling(self.planned(settings, &prompts), budget)?;
        Ok(plan.peak_bytes())
    }

    pub(super) fn planned<'a>(
        &'a self,
        settings: &'a Settings,
        prompts: &'a [usize],
    ) -> Planned<'a> {
        Planned {
            caps: self.gpu.caps(),
            folder: &self.folder,
            config: &self.config,
            settings,
            decoder: &self.decoder,
            prompts,
        }
    }

    /// The ids of the prompt and, where a step is guided, of the negative prompt.
    pub(super) fn prompts(
        &self,
        settings: &Settings,
        steps: &[StepPlan],
    ) -> Result<Vec<Vec<u32>>, Error> {
        let guided = steps.iter().any(|step| step.guidance.is_some());
        let negative = guided.then_some(&settings.negative_prompt);
        [Some(&settings.prompt), negative]
            .into_iter()
            .flatten()
            .map(|prompt| Ok(self.tokens(prompt)?.1.ids))
            .collect()
    }

    /// [n, d] for the n tokens of each prompt.
    fn encode(
        &self,
        ids: &[Vec<u32>],
        plan: &MemoryPlan,
        cancel: &Cancel,
        events: &mut dyn FnMut(Event),
    ) -> Result<Vec<Vec<f32>>, Error> {
        let checkpoint = Arc::new(self.folder.checkpoint("text_encoder")?);
        let encoder = TextEncoder::new(&self.gpu, &self.config.text_encoder, &checkpoint)?;
        let encoder = match plan.residency("text_encoder") {
            Residency::Streamed(window) => encoder.with_window(window),
            Residency::Resident | Residency::Tight => encoder,
        };
        let ids: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
        let total = self.config.text_encoder.num_layers;
        events(Event::Started {
            stage: Stage::Text,
            total,
        });
        let mut each = |done| {
            events(Event::Progress {
                stage: Stage::Text,
                done,
                total,
            })
        };
        let texts = encoder.encode(&ids, cancel, &mut each)?;
        events(Event::Finished { stage: Stage::Text });
        Ok(texts)
    }

    fn load(
        &self,
        expert: Expert,
        run: Planned<'_>,
        plan: &MemoryPlan,
        texts: &[Vec<f32>],
        cancel: &Cancel,
        events: &mut dyn FnMut(Event),
    ) -> Result<Denoiser, Error> {
        let (part, config) = match (expert, &self.config.transformer_2) {
            (Expert::LowNoise, Some(second)) => ("transformer_2", second),
            _ => ("transformer", &self.config.transformer),
        };
        let stage = Stage::Load(part);
        events(Event::Started { stage, total: 1 });
        let checkpoint = Arc::new(self.folder.checkpoint(part)?);
        let shape = run.transformer_shape();
        let passes = TransformerPasses::record(self.gpu.caps(), config, &checkpoint, shape)?;
        let transformer = Transformer::new(&self.gpu, passes, checkpoint, plan.residency(part))?;
        let mut stream = Stream::new(&self.gpu, cancel);
        let mut context = |text: Option<&Vec<f32>>| {
            text.map(|text| transformer.context(&mut stream, text))
                .transpose()
        };
        let cond = match context(texts.first())? {
            Some(cond) => cond,
            None => transformer.context(&mut Stream::new(&self.gpu, cancel), &[])?,
        };
        let uncond = context(texts.get(1))?;
        events(Event::Finished { stage });
        Ok(Denoiser {
            transformer,
            cond,
            uncond,
        })
    }
}

/// A transformer on the device with the prompts it listens to.
struct Denoiser {
    transformer: Transformer,
    cond: Context,
    uncond: Option<Context>,
}

/// Refuses to go on from what cannot be of the run.
fn check(sample: &Sample, shape: [usize; 5], steps: usize) -> Result<(), Error> {
    let count: usize = shape.iter().product();
    let whole = sample.tensors.iter().all(|values| values.len() == count);
    if sample.shape == shape && whole && sample.steps_done <= steps {
        return Ok(());
    }
    Err(RequestError::Sample {
        found: (sample.shape.to_vec(), sample.steps_done),
        expected: (shape.to_vec(), steps),
    }
    .into())
}

/// How much of a run's time keeping its state may take: one part of so many.
const SHARE: u32 = 100;

/// When to keep what a run can be gone on from.
struct Pace {
    /// Steps that were done when it was kept last.
    kept: usize,
    since: Instant,
    /// What it took then.
    cost: Duration,
}

impl Pace {
    fn new(kept: usize) -> Self {
        Self {
            kept,
            since: Instant::now(),
            cost: Duration::ZERO,
        }
    }

    fn is_due(&self) -> bool {
        self.since.elapsed() >= self.cost * SHARE
    }

    fn keep(
        &mut self,
        keep: impl FnOnce() -> Result<(), Error>,
        steps_done: usize,
    ) -> Result<(), Error> {
        let begun = Instant::now();
        keep()?;
        *self = Self {
            kept: steps_done,
            since: Instant::now(),
            cost: begun.elapsed(),
        };
        Ok(())
    }
}
