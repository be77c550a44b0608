//! What can be wrong with a schedule, a solver's options, guidance or a seed.

/// An error of [`crate::sampling`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SamplingError {
    /// A schedule without steps.
    #[error("0 sampling steps were asked for, expected at least 1: ask for 1 step or more")]
    ZeroSteps,

    /// More steps than any schedule distinguishes.
    #[error("{steps} sampling steps were asked for, expected at most {max}: ask for fewer steps")]
    TooManySteps {
        /// The steps asked for.
        steps: usize,
        /// The most a schedule may have.
        max: usize,
    },

    /// A distilled model's steps are those of its list.
    #[error(
        "{steps} sampling steps were asked for, but the list of timesteps has {listed}: leave the number of steps out, or give a list of {steps}"
    )]
    StepsOfList {
        /// The steps asked for.
        steps: usize,
        /// Timesteps in the list.
        listed: usize,
    },

    /// A scheduler's or guidance's option is out of its range, or one that is not implemented.
    #[error("sampling option `{option}` is {found}, expected {expected}")]
    Option {
        /// The option, by its name in `scheduler_config.json`, `model_index.json` or the pipeline's
        /// call.
        option: &'static str,
        /// Its value.
        found: String,
        /// The values that are accepted.
        expected: &'static str,
    },

    /// The options are legal one by one, and together make a sigma or a timestep that is no number.
    #[error(
        "the schedule of {steps} steps has no finite sigma at step {step}: ask for more steps, or remove `shift_terminal`"
    )]
    NoFiniteSigma {
        /// The step, counted from 0.
        step: usize,
        /// Steps in the schedule.
        steps: usize,
    },

    /// The solver divides by zero on this schedule (the reference returns NaN or infinity there).
    #[error(
        "step {step} of {steps}, from sigma {sigma} to {sigma_next}, has no finite solver coefficients: \
         set `lower_order_final` to true, or ask for fewer steps or a smaller shift"
    )]
    NoFiniteStep {
        /// The step, counted from 0.
        step: usize,
        /// Steps in the schedule.
        steps: usize,
        /// Noise level before the step.
        sigma: f64,
        /// Noise level after the step.
        sigma_next: f64,
    },

    /// A second guidance scale for a model with one expert.
    #[error(
        "a second guidance scale of {scale} was given, but the model has no `boundary_ratio` and so no second expert: leave it out"
    )]
    GuidanceWithoutExpert {
        /// The second scale.
        scale: f32,
    },

    /// A scheduler's configuration file is not a JSON object.
    #[error("{file} is not a scheduler's configuration: {source}; download the file again")]
    Json {
        /// The file, as the caller names it.
        file: String,
        /// Where the text stops being what was expected.
        source: serde_json::Error,
    },

    /// A scheduler of another class.
    #[error(
        "{file} names the scheduler `{class}`, expected `UniPCMultistepScheduler` or `FlowMatchEulerDiscreteScheduler`: \
         choose one with the scheduler option"
    )]
    UnknownScheduler {
        /// The file, as the caller names it.
        file: String,
        /// Its `_class_name`.
        class: String,
    },
}
