//! Events that a run reports to its observer.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::part::Part;
use crate::request::Note;
use crate::weights::{Latents, SolverState};

/// A part of a run, for progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Weights of a part going to the device; counted in parts.
    Load(Part),
    /// The prompts through the text encoder; counted in layers.
    Text,
    /// Pictures through the image encoder; counted in layers.
    Image,
    /// Pictures or a clip to latents; counted in passes of the encoder.
    Encode,
    /// Denoising; counted in forward passes, two a step with guidance.
    Sample,
    /// Latents to pictures; counted in frames. When decoding in bands, no frame is complete until the
    /// last band, so the count is the share of the work that is done.
    Decode,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(part) => write!(f, "loading {}", part.name().replace('_', " ")),
            Self::Text => f.write_str("encoding the prompt"),
            Self::Image => f.write_str("looking at the image"),
            Self::Encode => f.write_str("encoding the frames"),
            Self::Sample => f.write_str("sampling"),
            Self::Decode => f.write_str("decoding"),
        }
    }
}

impl Stage {
    /// Its name in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Load(_) => "load",
            Self::Text => "text",
            Self::Image => "image",
            Self::Encode => "encode",
            Self::Sample => "sample",
            Self::Decode => "decode",
        }
    }
}

/// Something that happened in a run.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The run differs from the request.
    Note(Note),
    /// A stage begins.
    Started {
        /// Which.
        stage: Stage,
        /// In how many units.
        total: usize,
    },
    /// The stage that began continues from where an earlier run stopped.
    Resumed {
        /// Which.
        stage: Stage,
        /// Units that are done already.
        skipped: usize,
    },
    /// What a step predicts the clip to be, if the job was asked for previews.
    Predicted {
        /// The step, from 1.
        step: usize,
        /// Of how many.
        steps: usize,
        /// The clean latents, in the model's normalised space.
        latents: Arc<Latents>,
    },
    /// Where sampling is, in steps: when it begins or continues, and after each step.
    Step {
        /// Steps done.
        done: usize,
        /// Of how many.
        total: usize,
    },
    /// A stage goes on.
    Progress {
        /// Which.
        stage: Stage,
        /// Units done.
        done: usize,
        /// Of how many.
        total: usize,
    },
    /// A stage ended.
    Finished {
        /// Which.
        stage: Stage,
    },
    /// State that the run can be resumed from: sent between steps, using at most 1 % of the run's time,
    /// and when sampling ends early.
    Checkpoint(Arc<SolverState>),
    /// The run's state is on the disk.
    Saved {
        /// The file.
        path: PathBuf,
        /// Whether steps would be lost with it.
        has_steps: bool,
    },
    /// The run's state could not be written where it belongs; the run goes on.
    NotSaved {
        /// Why not.
        reason: String,
        /// Where it lies instead, if anywhere.
        instead: Option<PathBuf>,
        /// Whether an older state with steps remains.
        has_steps: bool,
    },
    /// A result is being completed. Interrupting the program now may lose it.
    Completing,
}

impl Event {
    /// What a person should read of the event; `None` for those that only show how far a run is.
    pub fn sentence(&self) -> Option<String> {
        match self {
            Self::Note(note) => Some(note.to_string()),
            Self::NotSaved {
                reason,
                instead: Some(path),
                ..
            } => Some(format!("{reason}; the run is kept in {}", path.display())),
            Self::NotSaved {
                reason, has_steps, ..
            } => {
                let lost = if *has_steps {
                    "later steps are lost"
                } else {
                    "it is lost"
                };
                Some(format!(
                    "{reason}; the run goes on, but should it end early, {lost}"
                ))
            }
            _ => None,
        }
    }

    /// The event as one JSON object, whose `event` says which it is; `None` for those that carry data
    /// for the application alone. Sampling is told in steps.
    ///
    /// ```text
    /// {"event":"started","stage":"load","part":"text_encoder","total":1}
    /// {"event":"progress","stage":"sample","done":3,"total":12}
    /// ```
    pub fn to_json(&self) -> Option<serde_json::Value> {
        use serde_json::json;
        let of_stage = |event: &str, stage: &Stage| {
            let mut object = json!({"event": event, "stage": stage.name()});
            if let Stage::Load(part) = stage {
                object["part"] = part.name().into();
            }
            object
        };
        let object = match self {
            Self::Note(note) => json!({"event": "note", "text": note.to_string()}),
            // Their units are passes.
            Self::Progress { stage, .. } | Self::Resumed { stage, .. }
                if *stage == Stage::Sample =>
            {
                return None;
            }
            Self::Started { stage, total } => {
                let mut object = of_stage("started", stage);
                if *stage != Stage::Sample {
                    object["total"] = (*total).into();
                }
                object
            }
            Self::Resumed { stage, skipped } => {
                let mut object = of_stage("resumed", stage);
                object["done"] = (*skipped).into();
                object
            }
            Self::Step { done, total } => {
                json!({"event": "progress", "stage": "sample", "done": done, "total": total})
            }
            Self::Progress { stage, done, total } => {
                let mut object = of_stage("progress", stage);
                object["done"] = (*done).into();
                object["total"] = (*total).into();
                object
            }
            Self::Finished { stage } => of_stage("finished", stage),
            Self::Saved { path, has_steps } => {
                json!({"event": "saved", "path": path.display().to_string(), "has_steps": has_steps})
            }
            Self::NotSaved {
                reason,
                instead,
                has_steps,
            } => {
                let instead = instead.as_ref().map(|path| path.display().to_string());
                json!({"event": "not_saved", "reason": reason, "instead": instead, "has_steps": has_steps})
            }
            Self::Completing => json!({"event": "completing"}),
            Self::Predicted { .. } | Self::Checkpoint(_) => return None,
        };
        Some(object)
    }
}

/// Takes the events of a run.
pub type Observer<'o> = &'o mut dyn FnMut(Event);
