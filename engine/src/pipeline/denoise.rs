//! The denoising loop.
//!
//! The order of `WanPipeline.__call__` (diffusers): text, noise, then for each step one or two
//! passes of the transformer, guidance and the solver's step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::conditioning::Conditioning;
use super::event::{Event, Observer, Stage};
use super::memory::MemoryPlan;
use super::prepared::Prepared;
use super::solver::Solver;
use super::transformer::Denoiser;
use crate::cancel::Cancel;
use crate::error::{Error, RequestError};
use crate::gpu::{Gpu, Stream};
use crate::part::Part;
use crate::sampling::{Noise, StepPlan};
use crate::weights::{Latents, SolverState};

/// The starting point of a run.
#[derive(Clone, Copy)]
pub(crate) struct Start<'a> {
    /// Seed of the starting noise.
    pub(crate) seed: u64,
    /// The state that an earlier run left.
    pub(crate) from: Option<&'a SolverState>,
    /// Whether each step reports what it predicts.
    pub(crate) previews: bool,
}

/// Encodes the prompts and denoises. Returns latents in the model's normalised space, as diffusers
/// does for `output_type="latent"`.
///
/// The text encoder's weights leave the device before the transformer's are loaded, and the
/// transformer's leave before this returns. Resuming from the state of an earlier run with the same
/// settings on the same device gives the same latents, bit for bit.
///
/// # Errors
/// Weights that are missing or of another shape, no room on the device, cancelled, and
/// [`RequestError::State`] for the state of another run.
pub(crate) fn denoise(
    gpu: &Gpu,
    prepared: &Prepared,
    plan: &MemoryPlan,
    start: Start<'_>,
    cancel: &Cancel,
    observer: Observer<'_>,
) -> Result<Latents, Error> {
    let steps = prepared.steps();
    let shape = prepared.latents().shape;
    if let Some(state) = start.from {
        check(state, shape, steps.len())?;
    }
    let conditioning = Conditioning {
        text: prepared.text().encode(
            gpu,
            choice(plan, Part::TextEncoder)?,
            prepared.ids()?,
            cancel,
            observer,
        )?,
    };
    let order = prepared.scheduler().noise_order();
    let mut noise = Noise::new(start.seed);
    let first = noise.latents(shape, order);
    let solver = match start.from {
        Some(state) => Solver::new(gpu, shape, &state.tensors)?,
        None => Solver::new(gpu, shape, &[first])?,
    };
    let mut steps_done = start.from.map_or(0, |state| state.steps_done);
    let (before, rest) = steps.split_at(steps_done);
    // Advance the generator past the noise that the finished steps drew.
    for _ in before.iter().filter(|step| step.coefficients.renoises) {
        noise.latents(shape, order);
    }
    let mut progress = Passes::new(before, steps);
    let mut pace = Pace::new(steps_done);
    let mut loaded: Option<(Part, Denoiser)> = None;
    let mut step = |step: &StepPlan, observer: Observer<'_>| -> Result<(), Error> {
        let part = Part::of(step.expert);
        let denoiser = match loaded.take() {
            Some((own, denoiser)) if own == part => denoiser,
            other => {
                // Free the first transformer's weights before loading the second's.
                drop(other);
                let transformer = prepared.transformer(part)?;
                let choice = choice(plan, part)?;
                transformer.load(gpu, choice, &conditioning, cancel, observer)?
            }
        };
        progress.begin(observer);
        let mut stream = Stream::new(gpu, cancel);
        let uncond = step.guidance.and(denoiser.uncond.as_ref());
        let passes = [(&denoiser.cond, &solver.v_cond)]
            .into_iter()
            .chain(uncond.map(|context| (context, &solver.v_uncond)));
        for (context, velocity) in passes {
            let timesteps = [step.timestep];
            let transformer = &denoiser.transformer;
            transformer.forward(&mut stream, &timesteps, &solver.x, context, velocity)?;
            stream.finish()?;
            progress.advance(observer);
        }
        if step.coefficients.renoises {
            let fresh = noise.latents(shape, order);
            gpu.write(solver.last(), 0, bytemuck::cast_slice(&fresh))?;
        }
        solver.step(step)?;
        if start.previews {
            observer(Event::Predicted {
                step: step.index + 1,
                steps: steps.len(),
                latents: Arc::new(Latents {
                    shape,
                    values: solver.clean()?,
                    metadata: BTreeMap::new(),
                }),
            });
        }
        loaded = Some((part, denoiser));
        Ok(())
    };
    let mut ended = Ok(());
    for plan in rest {
        ended = step(plan, observer);
        if ended.is_err() {
            break;
        }
        steps_done += 1;
        if steps_done < steps.len() && pace.is_due() {
            pace.keep(steps_done, || {
                let state = solver.state_after(steps_done)?;
                observer(Event::Checkpoint(Arc::new(state)));
                Ok(())
            })?;
        }
    }
    if let Err(error) = ended {
        // The device still holds the last complete step, unless the device itself failed.
        if steps_done > pace.kept
            && let Ok(state) = solver.state_after(steps_done)
        {
            observer(Event::Checkpoint(Arc::new(state)));
        }
        return Err(error);
    }
    drop(loaded);
    observer(Event::Finished {
        stage: Stage::Sample,
    });
    Ok(Latents {
        shape,
        values: solver.x()?,
        metadata: BTreeMap::new(),
    })
}

/// How the memory plan runs a part.
fn choice(plan: &MemoryPlan, part: Part) -> Result<&super::PartPlan, Error> {
    let missing = RequestError::NotPlanned { part: part.name() };
    Ok(plan.part(part).ok_or(missing)?)
}

/// Refuses the state of another run.
fn check(state: &SolverState, shape: [usize; 5], steps: usize) -> Result<(), Error> {
    let count: usize = shape.iter().product();
    let whole = state.tensors.iter().all(|values| values.len() == count);
    if state.shape == shape && whole && state.steps_done <= steps {
        return Ok(());
    }
    Err(RequestError::State {
        found: (state.shape.to_vec(), state.steps_done),
        expected: (shape.to_vec(), steps),
    }
    .into())
}

/// Progress in forward passes.
struct Passes {
    skipped: usize,
    done: usize,
    total: usize,
}

impl Passes {
    fn new(before: &[StepPlan], all: &[StepPlan]) -> Self {
        let passes = |steps: &[StepPlan]| -> usize {
            let passes = steps.iter().map(|s| 1 + usize::from(s.guidance.is_some()));
            passes.sum()
        };
        let skipped = passes(before);
        Self {
            skipped,
            done: skipped,
            total: passes(all),
        }
    }

    /// Call before each step; the first call starts the stage.
    fn begin(&self, observer: Observer<'_>) {
        let (stage, skipped) = (Stage::Sample, self.skipped);
        if self.done > skipped {
            return;
        }
        let total = self.total;
        observer(Event::Started { stage, total });
        if skipped > 0 {
            observer(Event::Resumed { stage, skipped });
        }
    }

    fn advance(&mut self, observer: Observer<'_>) {
        self.done += 1;
        observer(Event::Progress {
            stage: Stage::Sample,
            done: self.done,
            total: self.total,
        });
    }
}

/// Saving the state may take at most 1/`SHARE` of a run's time.
const SHARE: u32 = 100;

/// When to save the state.
struct Pace {
    /// Steps that were finished at the last save.
    kept: usize,
    since: Instant,
    /// How long the last save took.
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
        steps_done: usize,
        keep: impl FnOnce() -> Result<(), Error>,
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
