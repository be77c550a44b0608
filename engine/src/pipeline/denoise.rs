//! The denoising loop.
//!
//! The order of the pipelines' `__call__` (diffusers): text, pictures, noise, then for each step one
//! or two passes of the transformer, guidance and the solver's step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::conditioning::{Conditioning, Form, IMAGE, KNOWN};
use super::denoiser::Denoiser;
use super::event::{Event, Observer, Stage};
use super::memory::MemoryPlan;
use super::prepared::Prepared;
use super::solver::Solver;
use crate::cancel::Cancel;
use crate::error::{Error, RequestError};
use crate::gpu::{Gpu, Stream};
use crate::part::Part;
use crate::sampling::{Noise, StepPlan};
use crate::weights::{Encoded, Latents, SolverState};

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

/// Encodes the prompts and the pictures and denoises. Returns latents in the model's normalised space, as diffusers
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
    let mut conditioning = Conditioning {
        text: prepared.text().encode(
            gpu,
            choice(plan, Part::TextEncoder)?,
            prepared.ids()?,
            cancel,
            observer,
        )?,
        ..Conditioning::default()
    };
    let form = prepared.form();
    let mut clip = None;
    match start.from {
        Some(state) => {
            conditioning.encoded = state.encoded.clone();
            if !conditioning.serves(form) {
                return Err(other_run(state, shape, steps.len()));
            }
        }
        None => {
            let (encoded, latents) = encode(gpu, prepared, plan, cancel, observer)?;
            conditioning.encoded = Arc::new(encoded);
            clip = latents;
        }
    }
    let conditioning = conditioning;
    let order = prepared.scheduler().noise_order();
    let mut noise = Noise::new(start.seed);
    let mut first = noise.latents(shape, order);
    if let (Some(clip), Some(step)) = (clip, steps.first()) {
        add_noise(&mut first, &clip, step.coefficients.sigma);
    }
    let solver = match start.from {
        Some(state) => Solver::new(gpu, shape, &state.tensors)?,
        None => Solver::new(gpu, shape, &[first])?,
    };
    if start.from.is_none() && prepared.encodes() {
        // From here on no attempt and no resumed run encodes the pictures again.
        let state = solver.state_after(0, &conditioning.encoded)?;
        observer(Event::Checkpoint(Arc::new(state)));
    }
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
                let inputs = &prepared.settings().inputs;
                let known = [inputs.image.is_some(), inputs.last_image.is_some()];
                transformer.load(gpu, choice, &conditioning, known, cancel, observer)?
            }
        };
        if progress.begin(observer) {
            let (done, total) = (step.index, steps.len());
            observer(Event::Step { done, total });
        }
        let mut stream = Stream::new(gpu, cancel);
        denoiser.predict(
            &mut stream,
            step.timestep,
            &solver.x,
            [&solver.v_cond, &solver.v_uncond],
            step.guidance.is_some(),
            &mut || progress.advance(observer),
        )?;
        if step.coefficients.renoises {
            let fresh = noise.latents(shape, order);
            gpu.write(solver.last(), 0, bytemuck::cast_slice(&fresh))?;
        }
        solver.step(step)?;
        observer(Event::Step {
            done: step.index + 1,
            total: steps.len(),
        });
        if start.previews {
            let mut values = solver.clean()?;
            if form == Form::FirstFrame {
                conditioning.restore_first_frame(&mut values, shape);
            }
            observer(Event::Predicted {
                step: step.index + 1,
                steps: steps.len(),
                latents: Arc::new(Latents {
                    shape,
                    values,
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
                let state = solver.state_after(steps_done, &conditioning.encoded)?;
                observer(Event::Checkpoint(Arc::new(state)));
                Ok(())
            })?;
        }
    }
    if let Err(error) = ended {
        // The device still holds the last complete step, unless the device itself failed.
        if steps_done > pace.kept
            && let Ok(state) = solver.state_after(steps_done, &conditioning.encoded)
        {
            observer(Event::Checkpoint(Arc::new(state)));
        }
        return Err(error);
    }
    drop(loaded);
    observer(Event::Finished {
        stage: Stage::Sample,
    });
    let mut values = solver.x()?;
    if form == Form::FirstFrame {
        conditioning.restore_first_frame(&mut values, shape);
    }
    Ok(Latents {
        shape,
        values,
        metadata: BTreeMap::new(),
    })
}

/// Encodes what a run starts from: the values that every step is conditioned on, and the latents of a
/// clip that is changed.
#[expect(clippy::type_complexity, reason = "named where it is taken apart")]
fn encode(
    gpu: &Gpu,
    prepared: &Prepared,
    plan: &MemoryPlan,
    cancel: &Cancel,
    observer: Observer<'_>,
) -> Result<(BTreeMap<String, Encoded>, Option<Vec<f32>>), Error> {
    let settings = prepared.settings();
    let mut encoded = BTreeMap::new();
    if let Some(image) = prepared.image() {
        let choice = choice(plan, Part::ImageEncoder)?;
        let states = image.encode(gpu, choice, &settings.inputs, cancel, observer)?;
        encoded.insert(IMAGE.to_owned(), states);
    }
    let mut clip = None;
    if let Some(encoder) = prepared.encoder() {
        let latents = encoder.encode(gpu, plan.budget, settings, cancel, observer)?;
        if prepared.form() == Form::Nothing {
            clip = Some(latents.values);
        } else {
            encoded.insert(KNOWN.to_owned(), latents);
        }
    }
    Ok((encoded, clip))
}

/// Noise to the sample at `sigma` of a clip's latents: `add_noise` of the flow schedulers.
fn add_noise(noise: &mut [f32], clip: &[f32], sigma: f32) {
    for (noise, clip) in noise.iter_mut().zip(clip) {
        *noise = (1.0 - sigma) * clip + sigma * *noise;
    }
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
    Err(other_run(state, shape, steps))
}

fn other_run(state: &SolverState, shape: [usize; 5], steps: usize) -> Error {
    RequestError::State {
        found: (state.shape.to_vec(), state.steps_done),
        expected: (shape.to_vec(), steps),
    }
    .into()
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

    /// Call before each step; the first call starts the stage, and says so.
    fn begin(&self, observer: Observer<'_>) -> bool {
        let (stage, skipped) = (Stage::Sample, self.skipped);
        if self.done > skipped {
            return false;
        }
        let total = self.total;
        observer(Event::Started { stage, total });
        if skipped > 0 {
            observer(Event::Resumed { stage, skipped });
        }
        true
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
