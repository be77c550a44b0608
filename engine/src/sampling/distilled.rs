//! Models distilled to a few steps: each step predicts the clean sample, and the next one begins
//! from that prediction under fresh noise.
//!
//! Such a model knows the few times it was distilled for. Lists and noise levels follow the
//! projects that distil Wan:
//!
//! | | [`Distilled::Dmd`] | [`Distilled::Lcm`] |
//! |---|---|---|
//! | reference | FastVideo, `DmdDenoisingStage` | lightx2v, `WanStepDistillScheduler` |
//! | models | FastWan | lightx2v's step-distilled Wan 2.1 and 2.2 |
//! | list | 1000, 757, 522 | 1000, 750, 500, 250 |
//! | shift | 8 | 5 |
//! | time passed to the model | as listed | the listed one, shifted |
//! | noise level | that of the shifted schedule's nearest time | the listed time's, shifted |
//! | noise is drawn as | `[T, C, h, w]` | `[C, T, h, w]` |
//!
//! `x0 = x − σ·v`, then `x′ = (1 − σ′)·x0 + σ′·noise`, and at the end `x0` itself. The noise continues
//! the generator of the starting noise.

use super::config::option;
use super::noise::NoiseOrder;
use super::solver::StepCoefficients;
use crate::error::SamplingError;

/// Which project's way of sampling a distilled model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Distilled {
    /// Distribution matching distillation, as FastVideo samples it.
    Dmd,
    /// Step distillation, as lightx2v samples it; diffusers' `FlowMatchLCMScheduler` and ComfyUI's
    /// `lcm` with its `simple` schedule come to the same.
    Lcm,
}

/// A scheduler for distilled models.
#[derive(Clone, Debug, PartialEq)]
pub struct DistilledConfig {
    /// Which project's scheduler.
    pub kind: Distilled,
    /// Length of the training schedule. At least 1.
    pub num_train_timesteps: u32,
    /// `s` in `σ ↦ s·σ / (1 + (s − 1)·σ)`. Finite, above 0.
    pub shift: f64,
    /// The times of the steps, each from 1 to `num_train_timesteps` and below the one before.
    pub timesteps: Vec<u32>,
}

impl Distilled {
    /// The list that models are distilled for.
    pub fn timesteps(self) -> &'static [u32] {
        match self {
            Self::Dmd => &[1000, 757, 522],
            Self::Lcm => &[1000, 750, 500, 250],
        }
    }

    /// The list for this many steps: the one that the models were distilled for or, for
    /// [`Distilled::Lcm`], one of equal spacing. `None` if no list is known for this number.
    pub fn timesteps_of(self, steps: usize) -> Option<Vec<u32>> {
        let own = self.timesteps();
        if steps == own.len() {
            return Some(own.to_vec());
        }
        match self {
            Self::Dmd => None,
            Self::Lcm if steps == 0 || steps > 1000 => None,
            Self::Lcm => {
                let at = |i: usize| (1000 * (steps - i)).div_ceil(steps) as u32;
                Some((0..steps).map(at).collect())
            }
        }
    }

    /// The shift that models are distilled for.
    pub fn shift(self) -> f64 {
        match self {
            Self::Dmd => 8.0,
            Self::Lcm => 5.0,
        }
    }

    /// The order in which the reference draws its noise.
    pub fn noise_order(self) -> NoiseOrder {
        match self {
            Self::Dmd => NoiseOrder::FramesFirst,
            Self::Lcm => NoiseOrder::ChannelsFirst,
        }
    }
}

impl DistilledConfig {
    /// Checks the list.
    pub(super) fn validate(&self) -> Result<(), SamplingError> {
        let train = self.num_train_timesteps;
        let falls = self.timesteps.is_sorted_by(|a, b| a > b);
        let within = self.timesteps.iter().all(|t| (1..=train).contains(t));
        if !self.timesteps.is_empty() && falls && within {
            return Ok(());
        }
        let found: Vec<String> = self.timesteps.iter().map(u32::to_string).collect();
        Err(option(
            "timesteps",
            found.join(","),
            "whole numbers from 1 to 1000 (the length of the training schedule), each below the one before",
        ))
    }

    /// Sigmas `[steps + 1]` and timesteps `[steps]`.
    pub(super) fn sigmas(&self) -> (Vec<f32>, Vec<f32>) {
        let train = self.num_train_timesteps as f32;
        let shift = self.shift as f32;
        // Both references shift in f32.
        let level = |t: u32| {
            let sigma = t as f32 / train;
            shift * sigma / (1.0 + (shift - 1.0) * sigma)
        };
        let nearest = |t: u32| {
            let way = |at: u32| (level(at) * train - t as f32).abs();
            // Search from the highest level; a lower one wins only if it is strictly nearer.
            let mut best = self.num_train_timesteps;
            for at in (1..self.num_train_timesteps).rev() {
                if way(at) < way(best) {
                    best = at;
                }
            }
            level(best)
        };
        let (mut sigmas, timesteps): (Vec<f32>, Vec<f32>) = match self.kind {
            Distilled::Dmd => {
                let list = self.timesteps.iter();
                list.map(|&t| (nearest(t), t as f32)).unzip()
            }
            Distilled::Lcm => {
                let list = self.timesteps.iter();
                list.map(|&t| (level(t), level(t) * train)).unzip()
            }
        };
        sigmas.push(0.0);
        (sigmas, timesteps)
    }
}

/// Step `i`; `sigmas` has one value more than there are steps.
///
/// The noise is passed in the state `last`, so that the step is linear in the kernel's inputs:
/// `corrected = last = noise`, `next = σ′·noise + (1 − σ′)·x0`.
pub(super) fn renoising_step(sigmas: &[f32], i: usize) -> StepCoefficients {
    let next = sigmas[i + 1];
    StepCoefficients {
        sigma: sigmas[i],
        corrector: [0.0, 1.0, 0.0, 0.0, 0.0],
        predictor: [next, 1.0 - next, 0.0, 0.0],
        // The last step has no noise to come.
        renoises: next > 0.0,
    }
}
