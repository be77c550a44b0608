//! What a run does unless it is told otherwise.

use super::fields::Fields;
use crate::error::ConfigError;

/// A scheduler by the name that the command line has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchedulerName {
    /// `UniPCMultistepScheduler`.
    UniPc,
    /// `FlowMatchEulerDiscreteScheduler`.
    Euler,
}

/// A model's name and the defaults of its runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Defaults {
    /// What to call the model.
    pub name: String,
    /// Pixels per row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Frames.
    pub frames: usize,
    /// Frames per second of playback.
    pub fps: f64,
    /// Sampling steps.
    pub steps: usize,
    /// Classifier-free guidance; 1 or less turns it off. With two experts, the first's (high noise).
    pub guidance: f64,
    /// Guidance of the second expert (low noise); `guidance` where it is `None`.
    pub guidance_2: Option<f64>,
    /// The schedule's shift; that of `scheduler_config.json` where it is `None`.
    pub shift: Option<f64>,
    /// The scheduler; that of `scheduler_config.json` where it is `None`.
    pub scheduler: Option<SchedulerName>,
    /// What guidance leads away from.
    pub negative_prompt: String,
}

/// The fields of `kinora.json`.
const FIELDS: [&str; 11] = [
    "name",
    "width",
    "height",
    "frames",
    "fps",
    "steps",
    "guidance",
    "guidance_2",
    "shift",
    "scheduler",
    "negative_prompt",
];

impl Defaults {
    /// `WanPipeline`'s own: 832×480, 81 frames, 50 steps, guidance 5; 16 frames per second, as its
    /// documentation exports them.
    #[must_use]
    pub fn pipeline(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            width: 832,
            height: 480,
            frames: 81,
            fps: 16.0,
            steps: 50,
            guidance: 5.0,
            guidance_2: None,
            shift: None,
            scheduler: None,
            negative_prompt: String::new(),
        }
    }

    /// These defaults with those fields replaced that the `kinora.json` in `text` gives; `file` is
    /// its name for messages.
    ///
    /// # Errors
    /// A [`ConfigError`] that names a field which is unknown or out of range.
    pub fn with_file(self, file: &str, text: &[u8]) -> Result<Self, ConfigError> {
        let fields = Fields::parse(file, text)?;
        fields.only(&FIELDS)?;
        let text = |field| fields.text(field).map(|text| text.map(str::to_owned));
        let real = |field, range| match fields.given(field) {
            None => Ok(None),
            Some(_) => fields.real(field, 0.0, range).map(Some),
        };
        Ok(Self {
            name: text("name")?.unwrap_or(self.name),
            width: fields.count("width", Some(self.width), 1..=16_384)?,
            height: fields.count("height", Some(self.height), 1..=16_384)?,
            frames: fields.count("frames", Some(self.frames), 1..=1_000_000)?,
            fps: fields.real("fps", self.fps, 0.1..=1000.0)?,
            steps: fields.count("steps", Some(self.steps), 1..=1000)?,
            guidance: fields.real("guidance", self.guidance, 0.0..=100.0)?,
            guidance_2: real("guidance_2", 0.0..=100.0)?.or(self.guidance_2),
            shift: real("shift", 1e-3..=1000.0)?.or(self.shift),
            scheduler: match fields.text("scheduler")? {
                None => self.scheduler,
                Some("unipc") => Some(SchedulerName::UniPc),
                Some("euler") => Some(SchedulerName::Euler),
                Some(_) => return Err(fields.wrong("scheduler", "\"unipc\" or \"euler\"")),
            },
            negative_prompt: text("negative_prompt")?.unwrap_or(self.negative_prompt),
        })
    }
}
