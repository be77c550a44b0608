//! Which expert runs at each step, and with how much guidance: the loop of diffusers'
//! `WanPipeline`.

use super::config::option;
use super::schedule::Schedule;
use super::solver::StepCoefficients;
use crate::error::SamplingError;

/// The pipeline's guidance options.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guidance {
    /// `guidance_scale`: how far the velocity is carried from the negative prompt's to the prompt's
    /// and beyond. At 1 and below the run has no guidance and does not use the negative prompt.
    pub scale: f32,
    /// `guidance_scale_2`: the low-noise expert's scale; `None` for `scale`. Only with a
    /// `boundary_ratio`.
    pub low_noise_scale: Option<f32>,
    /// `boundary_ratio` of `model_index.json`: the high-noise expert runs while `t ≥ ratio ·
    /// num_train_timesteps`. In `[0, 1]`; `None` for a model with one transformer.
    pub boundary_ratio: Option<f64>,
    /// The share of the steps after which guidance stops, and with it the second pass: steps from
    /// `⌊stop · steps⌋` on follow the prompt alone. In `[0, 1]`; 1 guides every step. Guidance in
    /// the late steps, at low noise, changes little of what is shown (Kynkäänniemi et al., 2024,
    /// *Applying Guidance in a Limited Interval*); `stop` of diffusers' guiders.
    pub stop: f64,
}

/// Which of the model's transformers runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Expert {
    /// `transformer`: the only one of most models, the one for high noise where there are two.
    HighNoise,
    /// `transformer_2`.
    LowNoise,
}

/// All a denoising loop needs to know about one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepPlan {
    /// The step, counted from 0.
    pub index: usize,
    /// The time passed to the model, in units of the training schedule.
    pub timestep: f32,
    /// The transformer to run.
    pub expert: Expert,
    /// The scale of `v_uncond + scale·(v_cond − v_uncond)`, or `None` where the pass with the
    /// negative prompt is not run and `v = v_cond`.
    pub guidance: Option<f32>,
    /// The coefficients of the solver's step.
    pub coefficients: StepCoefficients,
}

impl Default for Guidance {
    /// `WanPipeline`'s own.
    fn default() -> Self {
        Self {
            scale: 5.0,
            low_noise_scale: None,
            boundary_ratio: None,
            stop: 1.0,
        }
    }
}

impl Guidance {
    /// Whether the run is guided at all (`do_classifier_free_guidance`). The first scale alone
    /// decides, as in the reference, where the negative prompt is encoded before the first step.
    pub fn is_on(&self) -> bool {
        self.scale > 1.0
    }

    /// Checks every option's range.
    fn validate(&self) -> Result<(), SamplingError> {
        let finite = "a finite number";
        if !self.scale.is_finite() {
            return Err(option("guidance_scale", self.scale, finite));
        }
        if let Some(scale) = self.low_noise_scale {
            if !scale.is_finite() {
                return Err(option("guidance_scale_2", scale, finite));
            }
            if self.boundary_ratio.is_none() {
                return Err(SamplingError::GuidanceWithoutExpert { scale });
            }
        }
        if !(0.0..=1.0).contains(&self.stop) {
            return Err(option("guidance_stop", self.stop, "a number from 0 to 1"));
        }
        match self.boundary_ratio {
            Some(ratio) if !(0.0..=1.0).contains(&ratio) => {
                Err(option("boundary_ratio", ratio, "a number from 0 to 1"))
            }
            _ => Ok(()),
        }
    }
}

impl StepPlan {
    /// The solver kernel's input, see [`StepCoefficients::kernel_input`].
    pub fn kernel_input(&self) -> [f32; 12] {
        self.coefficients.kernel_input(self.guidance)
    }
}

/// The plan of every step of `schedule`. `[steps]`
///
/// # Errors
///
/// [`SamplingError::Option`] for a scale that is not finite, or a `stop` or `boundary_ratio` outside `[0, 1]`;
/// [`SamplingError::GuidanceWithoutExpert`] for a second scale without a `boundary_ratio`.
pub fn plan_steps(
    schedule: &Schedule,
    guidance: &Guidance,
) -> Result<Vec<StepPlan>, SamplingError> {
    guidance.validate()?;
    // The reference compares with an f32 or an integer tensor, for which torch rounds the boundary
    // to f32.
    let train = f64::from(schedule.num_train_timesteps);
    let boundary = guidance.boundary_ratio.map(|ratio| (ratio * train) as f32);
    let guided = (guidance.stop * schedule.steps.len() as f64) as usize;
    let plans = schedule
        .timesteps
        .iter()
        .zip(&schedule.steps)
        .enumerate()
        .map(|(index, (&timestep, &coefficients))| {
            let (expert, scale) = match boundary {
                Some(boundary) if timestep < boundary => (
                    Expert::LowNoise,
                    guidance.low_noise_scale.unwrap_or(guidance.scale),
                ),
                _ => (Expert::HighNoise, guidance.scale),
            };
            // In a guided run a second scale below 1 still combines both passes, as in the reference.
            // At exactly 1 the combination is the conditional pass itself, so the other one is saved.
            let guidance = (guidance.is_on() && scale != 1.0 && index < guided).then_some(scale);
            StepPlan {
                index,
                timestep,
                expert,
                guidance,
                coefficients,
            }
        });
    Ok(plans.collect())
}
