//! The host's side of sampling: turns a seed and a scheduler's options into numbers that a GPU kernel
//! applies.
//!
//! | file | contents |
//! |---|---|
//! | [`noise`](Noise) | noise, `torch.randn`'s for the same seed |
//! | `config` | the schedulers' options, as plain data ([`UniPcConfig`], [`EulerConfig`]) |
//! | `distilled` | schedulers of models distilled to a few steps ([`DistilledConfig`]) |
//! | `scheduler_json` | those options out of a `scheduler_config.json` ([`Scheduler::from_json`]) |
//! | `schedule` | sigmas and timesteps ([`Schedule`]) |
//! | `solver` | each step as twelve numbers ([`StepCoefficients`]) |
//! | `guidance` | the expert and the guidance of each step ([`plan_steps`], [`StepPlan`]) |
//!
//! ```
//! use kinora::sampling::{Guidance, Schedule, Scheduler, UniPcConfig, plan_steps, randn};
//!
//! let scheduler = Scheduler::UniPc(UniPcConfig { flow_shift: 5.0, ..UniPcConfig::default() });
//! let schedule = Schedule::new(&scheduler, 50)?;
//! let guidance = Guidance { scale: 5.0, ..Guidance::default() };
//! let noise = randn(7, 16 * 21 * 60 * 104); // [C, T, h, w]
//! for step in plan_steps(&schedule, &guidance)? {
//!     // v = transformer(x, step.timestep); then one elementwise kernel with step.kernel_input()
//!     assert_eq!(step.kernel_input().len(), 12);
//! }
//! # assert_eq!(noise.len(), 2_096_640);
//! # Ok::<(), kinora::error::SamplingError>(())
//! ```

mod config;
mod distilled;
mod guidance;
mod mt19937;
mod noise;
mod schedule;
mod scheduler_json;
mod solver;

pub use config::{EulerConfig, FinalSigma, Scheduler, SolverType, UniPcConfig};
pub use distilled::{Distilled, DistilledConfig};
pub use guidance::{Expert, Guidance, StepPlan, plan_steps};
pub use noise::{Noise, NoiseOrder, fill_randn, randn};
pub use schedule::{MAX_STEPS, Schedule};
pub use solver::StepCoefficients;
