//! The defaults of a run.

use super::card::{self, Card};
use crate::error::ConfigError;
use crate::models::config::fields::Fields;
use crate::sampling::Distilled;

/// A scheduler by the name that the command line has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchedulerName {
    /// `UniPCMultistepScheduler`.
    UniPc,
    /// `FlowMatchEulerDiscreteScheduler`.
    Euler,
    /// For models distilled to a few steps.
    Distilled(Distilled),
}

impl SchedulerName {
    /// All of them, under their names.
    pub const ALL: [(&'static str, Self); 4] = [
        ("unipc", Self::UniPc),
        ("euler", Self::Euler),
        ("dmd", Self::Distilled(Distilled::Dmd)),
        ("lcm", Self::Distilled(Distilled::Lcm)),
    ];

    /// The scheduler of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, scheduler)| *scheduler)
    }

    /// Its name on the command line, in `kinora.json` and in a clip's metadata.
    #[must_use]
    pub fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, scheduler)| *scheduler == self);
        found.map_or("", |(name, _)| name)
    }

    /// How a distilled model is sampled.
    #[must_use]
    pub fn distilled(self) -> Option<Distilled> {
        match self {
            Self::Distilled(kind) => Some(kind),
            Self::UniPc | Self::Euler => None,
        }
    }
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
    /// The share of the steps after which guidance stops; none stops it where it is `None`.
    pub guidance_stop: Option<f64>,
    /// The schedule's shift; that of `scheduler_config.json` where it is `None`.
    pub shift: Option<f64>,
    /// The scheduler; that of `scheduler_config.json` where it is `None`.
    pub scheduler: Option<SchedulerName>,
    /// The times of a distilled model's steps; its kind's own where it is `None`.
    pub timesteps: Option<Vec<u32>>,
    /// What guidance leads away from.
    pub negative_prompt: String,
    /// The model's training range.
    pub card: Card,
}

/// The fields of `kinora.json`.
const FIELDS: [&str; 13] = [
    "name",
    "width",
    "height",
    "frames",
    "fps",
    "steps",
    "guidance",
    "guidance_2",
    "guidance_stop",
    "shift",
    "scheduler",
    "timesteps",
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
            guidance_stop: None,
            shift: None,
            scheduler: None,
            timesteps: None,
            negative_prompt: String::new(),
            card: Card::default(),
        }
    }

    /// These defaults for a model distilled to a few steps: without guidance.
    #[must_use]
    pub(super) fn distilled(self, kind: Distilled) -> Self {
        Self {
            steps: kind.timesteps().len(),
            guidance: 1.0,
            guidance_2: None,
            guidance_stop: None,
            shift: None,
            scheduler: Some(SchedulerName::Distilled(kind)),
            ..self
        }
    }

    /// These defaults with those fields replaced that the `kinora.json` in `text` gives; `file` is
    /// its name for messages.
    ///
    /// # Errors
    /// A [`ConfigError`] that names a field which is unknown or out of range.
    pub fn with_file(self, file: &str, text: &[u8]) -> Result<Self, ConfigError> {
        let fields = Fields::parse(file, text)?;
        fields.only(&[&FIELDS[..], &card::FIELDS].concat())?;
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
            guidance_stop: real("guidance_stop", 0.0..=1.0)?.or(self.guidance_stop),
            shift: real("shift", 1e-3..=1000.0)?.or(self.shift),
            scheduler: match fields.text("scheduler")? {
                None => self.scheduler,
                Some(name) => Some(SchedulerName::named(name).ok_or_else(|| {
                    fields.wrong("scheduler", "\"unipc\", \"euler\", \"dmd\" or \"lcm\"")
                })?),
            },
            timesteps: timesteps(&fields)?.or(self.timesteps),
            negative_prompt: text("negative_prompt")?.unwrap_or(self.negative_prompt),
            card: Card::read(&fields)?,
        })
    }
}

/// A list of times, such as `[1000, 757, 522]`.
fn timesteps(fields: &Fields<'_>) -> Result<Option<Vec<u32>>, ConfigError> {
    let Some(value) = fields.given("timesteps") else {
        return Ok(None);
    };
    let time = |t: &serde_json::Value| t.as_u64().and_then(|t| u32::try_from(t).ok());
    let list = value
        .as_array()
        .and_then(|list| list.iter().map(time).collect::<Option<Vec<u32>>>())
        .filter(|list| !list.is_empty());
    list.map(Some)
        .ok_or_else(|| fields.wrong("timesteps", "a list of whole numbers"))
}
