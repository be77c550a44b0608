//! Prompt to latents: text encoding and the denoising loop.
//!
//! The order of `WanPipeline.__call__` (diffusers): text, noise, then for each step one or two
//! passes of the transformer, guidance and the solver's step.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::engine::{Engine, Event, Stage};
use super::memory::{MemoryPlan, Planned};
use super::request::Settings;
use crate::error::Error;
use crate::gpu::{Bound, Buffer, Cancel, Plan, Stream};
use crate::models::umt5::TextEncoder;
use crate::models::wan_transformer::{Context, Residency, Transformer, TransformerPasses};
use crate::ops::solver::solver_states;
use crate::record::{Caps, Recorder, Recording};
use crate::sampling::{Expert, Guidance, Noise, Schedule, StepPlan, plan_steps};
use crate::weights::Latents;

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
        let steps = self.schedule(settings)?;
        let ids = self.prompts(settings, &steps)?;
        let prompts: Vec<usize> = ids.iter().map(Vec::len).collect();
        let run = self.planned(settings, &prompts);
        let plan = MemoryPlan::new(run, self.memory)?;
        let texts = self.encode(&ids, &plan, cancel, events)?;

        let shape = settings.latent_shape(&self.config);
        let order = self.scheduler(settings)?.noise_order();
        let mut noise = Noise::new(u64::from(settings.seed))?;
        let solver = Solver::new(self, &noise.latents(shape, order))?;

        let total = steps
            .iter()
            .map(|s| 1 + usize::from(s.guidance.is_some()))
            .sum();
        let mut done = 0;
        let mut loaded: Option<(Expert, Denoiser)> = None;
        for step in &steps {
            let denoiser = match loaded.take() {
                Some((expert, denoiser)) if expert == step.expert => denoiser,
                other => {
                    // The first expert's weights go before the second's come.
                    drop(other);
                    self.load(step.expert, run, &plan, &texts, cancel, events)?
                }
            };
            if done == 0 {
                events(Event::Started {
                    stage: Stage::Sample,
                    total,
                });
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
                    .write(&solver.last, 0, bytemuck::cast_slice(&fresh))?;
            }
            solver.step(self, &mut stream, step)?;
            loaded = Some((step.expert, denoiser));
        }
        drop(loaded);
        events(Event::Finished {
            stage: Stage::Sample,
        });
        let bytes = self.gpu.read(&solver.x, 0..solver.x.size())?;
        let values = bytes
            .as_chunks()
            .0
            .iter()
            .map(|&b| f32::from_le_bytes(b))
            .collect();
        Ok(Latents {
            shape,
            values,
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

    fn planned<'a>(&'a self, settings: &'a Settings, prompts: &'a [usize]) -> Planned<'a> {
        Planned {
            caps: self.gpu.caps(),
            folder: &self.folder,
            config: &self.config,
            settings,
            prompts,
        }
    }

    /// The ids of the prompt and, where a step is guided, of the negative prompt.
    fn prompts(&self, settings: &Settings, steps: &[StepPlan]) -> Result<Vec<Vec<u32>>, Error> {
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
            Residency::Resident => encoder,
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

/// The sample and the solver's history on the device.
struct Solver {
    x: Buffer,
    last: Buffer,
    v_cond: Buffer,
    v_uncond: Buffer,
    weights: Buffer,
    bound: Bound,
    _plan: Plan,
}

/// The solver's step over so many values, all of whose tensors live from step to step.
pub(super) fn solver_recording(caps: &Caps, count: usize) -> Result<Recording, Error> {
    let mut rec = Recorder::new(caps);
    solver_states(&mut rec, count)?;
    Ok(rec.finish())
}

impl Solver {
    fn new(engine: &Engine, noise: &[f32]) -> Result<Self, Error> {
        let gpu = &engine.gpu;
        let count = noise.len();
        let recording = solver_recording(gpu.caps(), count)?;
        let plan = Plan::new(gpu, &[&recording])?;
        let mut buffers = BTreeMap::new();
        for (_, info) in recording.iter() {
            buffers.insert(info.name.clone(), gpu.buffer(&info.name, info.bytes())?);
        }
        let bound = plan.bind(0, &|info| buffers.get(&info.name).cloned())?;
        let mut take = |name: &str| match buffers.remove(name) {
            Some(buffer) => Ok(buffer),
            None => gpu.buffer(name, count as u64 * 4),
        };
        let solver = Self {
            x: take("x")?,
            last: take("last")?,
            v_cond: take("v_cond")?,
            v_uncond: take("v_uncond")?,
            weights: take("weights")?,
            bound,
            _plan: plan,
        };
        // The history must start at zero, which a new buffer is only by the API's promise.
        gpu.clear(&solver.last)?;
        for name in ["m0", "m1"] {
            gpu.clear(&take(name)?)?;
        }
        gpu.write(&solver.x, 0, bytemuck::cast_slice(noise))?;
        Ok(solver)
    }

    fn step(&self, engine: &Engine, stream: &mut Stream, step: &StepPlan) -> Result<(), Error> {
        engine
            .gpu
            .write(&self.weights, 0, bytemuck::cast_slice(&step.kernel_input()))?;
        stream.run(&self.bound)?;
        stream.finish()?;
        Ok(())
    }
}
