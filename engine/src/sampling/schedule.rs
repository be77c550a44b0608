//! Sigmas and timesteps, bit for bit those of diffusers 0.42 for its schedulers.
//!
//! Sigmas are computed in f64 and rounded to f32 where the reference rounds them; the solver starts
//! from the rounded ones. The first sigma shows why: UniPC's is `1 − 1e-6`, and f32's nearest value
//! to it changes `1 − σ` by 1.3 %.

use super::config::{EulerConfig, FinalSigma, Scheduler, UniPcConfig};
use super::distilled::renoising_step;
use super::solver::{StepCoefficients, euler_step, unipc_step};
use crate::error::SamplingError;

/// The most steps a schedule may have. The reference has no bound (steps beyond the training length
/// repeat timesteps); this one keeps a typing error from exhausting memory.
pub const MAX_STEPS: usize = 10_000;

/// A scheduler's sigmas and timesteps for a number of steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// The time passed to the model at each step, in units of the training schedule. `[steps]`,
    /// descending. UniPC truncates these to integers (its first is 999 of 1000); Euler does not.
    pub timesteps: Vec<f32>,
    /// The noise level before each step, and after the last one. `[steps + 1]`; each value is an
    /// f32's.
    pub sigmas: Vec<f64>,
    /// What each step computes. `[steps]`
    pub steps: Vec<StepCoefficients>,
    /// Length of the training schedule.
    pub num_train_timesteps: u32,
}

impl Schedule {
    /// The schedule of `scheduler` for `steps` steps (`set_timesteps` in diffusers).
    ///
    /// # Errors
    ///
    /// [`SamplingError::ZeroSteps`], [`SamplingError::TooManySteps`], [`SamplingError::StepsOfList`]
    /// for a number that is not that of a list, [`SamplingError::Option`] for an option out of its
    /// range, and [`SamplingError::NoFiniteSigma`] or
    /// [`SamplingError::NoFiniteStep`] where the reference would return NaN or infinity.
    pub fn new(scheduler: &Scheduler, steps: usize) -> Result<Self, SamplingError> {
        Self::skipping(scheduler, steps, 0)
    }

    /// The schedule for `steps` steps without the first `skipped`: the solver starts with empty
    /// history at the step after them, as in `WanVideoToVideoPipeline`.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`SamplingError::ZeroSteps`] where no step is left.
    pub fn skipping(
        scheduler: &Scheduler,
        steps: usize,
        skipped: usize,
    ) -> Result<Self, SamplingError> {
        scheduler.validate()?;
        if steps <= skipped {
            return Err(SamplingError::ZeroSteps);
        }
        if steps > MAX_STEPS {
            return Err(SamplingError::TooManySteps {
                steps,
                max: MAX_STEPS,
            });
        }
        let (mut sigmas, mut timesteps) = match scheduler {
            Scheduler::UniPc(config) => unipc_sigmas(config, steps),
            Scheduler::Euler(config) => euler_sigmas(config, steps),
            Scheduler::Distilled(config) if config.timesteps.len() != steps => {
                return Err(SamplingError::StepsOfList {
                    steps,
                    listed: config.timesteps.len(),
                });
            }
            Scheduler::Distilled(config) => config.sigmas(),
        };
        sigmas.drain(..skipped);
        timesteps.drain(..skipped);
        let scheduler = &scheduler.without_first(skipped);
        let steps = steps - skipped;
        if let Some(step) = sigmas.iter().position(|sigma| !sigma.is_finite()) {
            return Err(SamplingError::NoFiniteSigma { step, steps });
        }
        let coefficients = (0..steps).map(|step| {
            let coefficients = match scheduler {
                Scheduler::UniPc(config) => unipc_step(config, &sigmas, step),
                Scheduler::Euler(_) => euler_step(&sigmas, step),
                Scheduler::Distilled(_) => renoising_step(&sigmas, step),
            };
            if coefficients.is_finite() {
                Ok(coefficients)
            } else {
                let (sigma, sigma_next) = (f64::from(sigmas[step]), f64::from(sigmas[step + 1]));
                Err(SamplingError::NoFiniteStep {
                    step,
                    steps,
                    sigma,
                    sigma_next,
                })
            }
        });
        Ok(Self {
            steps: coefficients.collect::<Result<_, _>>()?,
            timesteps,
            sigmas: sigmas.into_iter().map(f64::from).collect(),
            num_train_timesteps: scheduler.num_train_timesteps(),
        })
    }
}

/// `UniPCMultistepScheduler.set_timesteps` with `use_flow_sigmas`: sigmas `[steps + 1]`, timesteps
/// `[steps]`.
fn unipc_sigmas(config: &UniPcConfig, steps: usize) -> (Vec<f32>, Vec<f32>) {
    /// A first sigma of 1 would make the logarithm of `1 − σ` infinite.
    const EPSILON: f64 = 1e-6;
    let train = f64::from(config.num_train_timesteps);
    let mut sigmas = linspace(1.0, 1.0 / train, steps + 1);
    sigmas.truncate(steps);
    sigmas
        .iter_mut()
        .for_each(|sigma| *sigma = shifted(config.flow_shift, *sigma));
    stretch_to_terminal(&mut sigmas, config.shift_terminal);
    if (sigmas[0] - 1.0).abs() < EPSILON {
        sigmas[0] -= EPSILON;
    }
    let timesteps = sigmas
        .iter()
        .map(|sigma| (sigma * train).trunc() as f32)
        .collect();
    sigmas.push(match config.final_sigma {
        FinalSigma::Zero => 0.0,
        FinalSigma::SigmaMin => sigmas[steps - 1],
    });
    (
        sigmas.into_iter().map(|sigma| sigma as f32).collect(),
        timesteps,
    )
}

/// `FlowMatchEulerDiscreteScheduler.set_timesteps`: sigmas `[steps + 1]`, timesteps `[steps]`.
///
/// The shift acts twice on the lower end: the class shifts its training schedule in f32 when it is
/// made, takes the range of timesteps from that, and shifts what lies in the range again.
fn euler_sigmas(config: &EulerConfig, steps: usize) -> (Vec<f32>, Vec<f32>) {
    let train = f64::from(config.num_train_timesteps);
    let end_of_training = |timestep: f32| {
        let sigma = timestep / train as f32;
        f64::from(config.shift as f32 * sigma / (1.0 + (config.shift - 1.0) as f32 * sigma))
    };
    let (sigma_max, sigma_min) = (end_of_training(train as f32), end_of_training(1.0));
    let mut sigmas = linspace(sigma_max * train, sigma_min * train, steps);
    sigmas
        .iter_mut()
        .for_each(|timestep| *timestep = shifted(config.shift, *timestep / train));
    stretch_to_terminal(&mut sigmas, config.shift_terminal);
    let mut sigmas: Vec<f32> = sigmas.into_iter().map(|sigma| sigma as f32).collect();
    let timesteps = sigmas.iter().map(|sigma| sigma * train as f32).collect();
    sigmas.push(0.0);
    (sigmas, timesteps)
}

/// Moves noise levels in `[0, 1]` up (`shift > 1`) or down.
fn shifted(shift: f64, sigma: f64) -> f64 {
    shift * sigma / (1.0 + (shift - 1.0) * sigma)
}

/// Scales `1 − σ` such that the last sigma is `terminal`; like the reference, does nothing for 0.
fn stretch_to_terminal(sigmas: &mut [f64], terminal: Option<f64>) {
    let (Some(&last), Some(terminal)) = (sigmas.last(), terminal) else {
        return;
    };
    if terminal != 0.0 {
        let scale = (1.0 - last) / (1.0 - terminal);
        sigmas
            .iter_mut()
            .for_each(|sigma| *sigma = 1.0 - (1.0 - *sigma) / scale);
    }
}

/// `numpy.linspace(start, stop, n)`, in its order of operations, because truncated timesteps depend
/// on the last bit.
fn linspace(start: f64, stop: f64, n: usize) -> Vec<f64> {
    let step = (stop - start) / (n.max(2) - 1) as f64;
    let mut values: Vec<f64> = (0..n).map(|i| i as f64 * step + start).collect();
    if let [_, .., last] = values.as_mut_slice() {
        *last = stop;
    }
    values
}
