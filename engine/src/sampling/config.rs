//! The schedulers' options, as plain data under the names of `scheduler_config.json`.

use super::distilled::{Distilled, DistilledConfig};
use super::noise::NoiseOrder;
use crate::error::SamplingError;

/// A scheduler and its options. All of them solve a rectified flow: `x = (1 − σ)·x0 + σ·noise`,
/// and the model predicts the velocity `v = noise − x0`.
#[derive(Clone, Debug, PartialEq)]
pub enum Scheduler {
    /// diffusers' `UniPCMultistepScheduler` with flow prediction and flow sigmas.
    UniPc(UniPcConfig),
    /// diffusers' `FlowMatchEulerDiscreteScheduler`.
    Euler(EulerConfig),
    /// For models distilled to a few steps.
    Distilled(DistilledConfig),
}

/// Options of `UniPCMultistepScheduler` (UniPC, Zhao et al. 2023, arXiv 2302.04867) that matter for
/// flow models.
///
/// The default is what Wan's releases hold, with a shift of 1.
#[derive(Clone, Debug, PartialEq)]
pub struct UniPcConfig {
    /// Length of the training schedule; timesteps run from 0 to this. At least 1.
    pub num_train_timesteps: u32,
    /// `s` in `σ ↦ s·σ / (1 + (s − 1)·σ)`; above 1, more of the steps go to high noise. Finite,
    /// above 0.
    pub flow_shift: f64,
    /// Order of the predictor: 1 or 2 (the corrector makes the result one order better).
    pub solver_order: u32,
    /// The function `B(h)` of the solver.
    pub solver_type: SolverType,
    /// Whether the last step is of order 1.
    pub lower_order_final: bool,
    /// Steps, counted from 0, whose result the following step does not correct.
    pub disable_corrector: Vec<usize>,
    /// The noise level at which sampling ends.
    pub final_sigma: FinalSigma,
    /// If not `None` and not 0: sigmas are stretched such that the last one before the end is this.
    /// In `[0, 1)`.
    pub shift_terminal: Option<f64>,
}

/// UniPC's function `B(h)`, where `h` is the step in half the log of the signal-to-noise ratio.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SolverType {
    /// `B(h) = h`.
    Bh1,
    /// `B(h) = eʰ − 1`.
    #[default]
    Bh2,
}

/// The noise level at which sampling ends (`final_sigmas_type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FinalSigma {
    /// No noise.
    #[default]
    Zero,
    /// The last level the model sees, so that the last step changes the sample by its correction
    /// alone.
    SigmaMin,
}

/// Options of `FlowMatchEulerDiscreteScheduler` that matter for Wan.
#[derive(Clone, Debug, PartialEq)]
pub struct EulerConfig {
    /// Length of the training schedule; timesteps run from 0 to this. At least 1.
    pub num_train_timesteps: u32,
    /// `s` in `σ ↦ s·σ / (1 + (s − 1)·σ)`. Finite, above 0.
    pub shift: f64,
    /// If not `None` and not 0: sigmas are stretched such that the last one before 0 is this. In
    /// `[0, 1)`.
    pub shift_terminal: Option<f64>,
}

impl Default for UniPcConfig {
    fn default() -> Self {
        Self {
            num_train_timesteps: 1000,
            flow_shift: 1.0,
            solver_order: 2,
            solver_type: SolverType::Bh2,
            lower_order_final: true,
            disable_corrector: Vec::new(),
            final_sigma: FinalSigma::Zero,
            shift_terminal: None,
        }
    }
}

impl Default for EulerConfig {
    fn default() -> Self {
        Self {
            num_train_timesteps: 1000,
            shift: 1.0,
            shift_terminal: None,
        }
    }
}

impl Scheduler {
    /// Length of the training schedule.
    pub fn num_train_timesteps(&self) -> u32 {
        match self {
            Self::UniPc(config) => config.num_train_timesteps,
            Self::Euler(config) => config.num_train_timesteps,
            Self::Distilled(config) => config.num_train_timesteps,
        }
    }

    /// The order in which the reference draws the noise.
    pub fn noise_order(&self) -> NoiseOrder {
        match self {
            Self::UniPc(_) | Self::Euler(_) => NoiseOrder::ChannelsFirst,
            Self::Distilled(config) => config.kind.noise_order(),
        }
    }

    /// The shift of the noise levels (`flow_shift` or `shift`).
    pub fn shift(&self) -> f64 {
        match self {
            Self::UniPc(config) => config.flow_shift,
            Self::Euler(config) => config.shift,
            Self::Distilled(config) => config.shift,
        }
    }

    /// The same scheduler with another shift.
    #[must_use]
    pub fn with_shift(mut self, shift: f64) -> Self {
        match &mut self {
            Self::UniPc(config) => config.flow_shift = shift,
            Self::Euler(config) => config.shift = shift,
            Self::Distilled(config) => config.shift = shift,
        }
        self
    }

    /// UniPC with this scheduler's training length and shift; itself if it is UniPC.
    #[must_use]
    pub fn into_unipc(self) -> Self {
        match self {
            Self::UniPc(_) => self,
            _ => Self::UniPc(UniPcConfig {
                num_train_timesteps: self.num_train_timesteps(),
                flow_shift: self.shift(),
                shift_terminal: self.shift_terminal(),
                ..UniPcConfig::default()
            }),
        }
    }

    /// Euler with this scheduler's training length and shift; itself if it is Euler.
    ///
    /// diffusers' `from_config` would drop the shift here, because the two classes name it
    /// differently.
    #[must_use]
    pub fn into_euler(self) -> Self {
        match self {
            Self::Euler(_) => self,
            _ => Self::Euler(EulerConfig {
                num_train_timesteps: self.num_train_timesteps(),
                shift: self.shift(),
                shift_terminal: self.shift_terminal(),
            }),
        }
    }

    /// A distilled model's scheduler with this one's training length, the shift of its `kind` and
    /// these times.
    #[must_use]
    pub fn into_distilled(self, kind: Distilled, timesteps: Vec<u32>) -> Self {
        Self::Distilled(DistilledConfig {
            kind,
            num_train_timesteps: self.num_train_timesteps(),
            shift: kind.shift(),
            timesteps,
        })
    }

    fn shift_terminal(&self) -> Option<f64> {
        match self {
            Self::UniPc(config) => config.shift_terminal,
            Self::Euler(config) => config.shift_terminal,
            Self::Distilled(_) => None,
        }
    }

    /// The configuration for a schedule without its first steps: step numbers move down.
    pub(super) fn without_first(&self, skipped: usize) -> Self {
        let mut scheduler = self.clone();
        if let Self::UniPc(config) = &mut scheduler {
            let kept = config.disable_corrector.iter();
            config.disable_corrector = kept.filter_map(|step| step.checked_sub(skipped)).collect();
        }
        scheduler
    }

    /// Checks every option's range.
    ///
    /// # Errors
    ///
    /// [`SamplingError::Option`] naming the first option that is out of its range.
    pub fn validate(&self) -> Result<(), SamplingError> {
        let shift_name = match self {
            Self::UniPc(config) => {
                if !(1..=2).contains(&config.solver_order) {
                    return Err(option("solver_order", config.solver_order, "1 or 2"));
                }
                "flow_shift"
            }
            Self::Euler(_) => "shift",
            Self::Distilled(config) => {
                config.validate()?;
                "shift"
            }
        };
        if self.num_train_timesteps() == 0 {
            return Err(option("num_train_timesteps", 0, "at least 1"));
        }
        let shift = self.shift();
        if !(shift.is_finite() && shift > 0.0) {
            return Err(option(shift_name, shift, "a finite number above 0"));
        }
        match self.shift_terminal() {
            Some(end) if !(0.0..1.0).contains(&end) => Err(option(
                "shift_terminal",
                end,
                "a number from 0 up to but not including 1",
            )),
            _ => Ok(()),
        }
    }
}

/// An [`SamplingError::Option`].
pub(super) fn option(
    option: &'static str,
    found: impl ToString,
    expected: &'static str,
) -> SamplingError {
    SamplingError::Option {
        option,
        found: found.to_string(),
        expected,
    }
}
