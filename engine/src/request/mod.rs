//! A request for a clip, and the settings that it becomes.
//!
//! | file | what it holds |
//! |---|---|
//! | `aspect` | the shape of the picture |
//! | `fields` | one table of a request's fields: names, ranges, text forms |
//! | `settings` | a request with every choice made |
//! | `inputs` | pictures and clips that a run starts from |
//! | `prompts` | files of prompts |
//! | `seed` | seeds as people write them, and those of variations |
//! | `note` | how a run differs from the request |

mod aspect;
mod fields;
mod inputs;
mod note;
mod prompts;
mod seed;
mod settings;
mod time;

use std::path::PathBuf;

use crate::model_files::SchedulerName;
use crate::pictures::Fit;

pub use aspect::Aspect;
pub use fields::{FIELDS, Facts, Field, Range, field};
pub use inputs::{InputClip, InputPicture, Inputs, changed_inputs};
pub use note::{Note, bytes_for_people, bytes_of};
pub use prompts::{check_prompts, read_prompts};
pub use seed::{Seed, seeds};
pub use settings::Settings;
pub use time::{Rate, Seconds, fps_of, fps_text};

/// The size of the picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Size {
    /// The model's own.
    #[default]
    Model,
    /// Width and height; the model's own where one is `None`.
    Exact(Option<usize>, Option<usize>),
    /// A shape and, where given, the length of its short side (480 of 480p): 832×480 as the
    /// released models make it, 1280×720, 1920×1080. Without it, about the model's own area.
    Shape(Aspect, Option<usize>),
    /// The size with this short side in the shape of the picture or clip that the run starts from;
    /// without one in 16:9.
    Resolution(usize),
}

/// A clip to be made. `None` stands for the model's default.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Request {
    /// What the clip shows.
    pub prompt: String,
    /// What guidance steers away from.
    pub negative_prompt: Option<String>,
    /// Pixels.
    pub size: Size,
    /// Frames; go up to the next 4n + 1.
    pub frames: Option<usize>,
    /// Seconds at the model's own frame rate, where `frames` is `None`.
    pub duration: Option<f64>,
    /// Frames a second of playback; changes nothing else.
    pub fps: Option<f64>,
    /// Sampling steps.
    pub steps: Option<usize>,
    /// Classifier-free guidance; 1 or less turns it off.
    pub guidance: Option<f64>,
    /// Guidance of the second expert.
    pub guidance_2: Option<f64>,
    /// The share of the steps after which guidance stops.
    pub guidance_stop: Option<f64>,
    /// The schedule's shift.
    pub shift: Option<f64>,
    /// The solver.
    pub scheduler: Option<SchedulerName>,
    /// The times of a distilled model's steps, falling, of 1000.
    pub timesteps: Option<Vec<u32>>,
    /// The starting noise; drawn where it is `None`.
    pub seed: Option<u64>,
    /// The first frame: a PNG, JPEG or WebP.
    pub image: Option<PathBuf>,
    /// The last frame.
    pub last_image: Option<PathBuf>,
    /// A clip to change: an MP4 with H.264, or a folder of pictures.
    pub video: Option<PathBuf>,
    /// How much of the video is made anew, from more than 0 to 1.
    pub strength: Option<f64>,
    /// How pictures and clips of another shape become the clip's.
    pub fit: Option<Fit>,
    /// Whether a video is taken frame by frame, not at the model's rate.
    pub keep_frames: Option<bool>,
}

impl Request {
    /// A prompt with the model's defaults.
    pub fn new(prompt: impl Into<String>) -> Self {
        Self {
            prompt: prompt.into(),
            ..Self::default()
        }
    }
}

impl Size {
    /// The same with an exact width.
    fn with_width(self, width: usize) -> Self {
        match self {
            Self::Exact(_, height) => Self::Exact(Some(width), height),
            Self::Model | Self::Shape(..) | Self::Resolution(_) => Self::Exact(Some(width), None),
        }
    }

    /// The same with an exact height.
    fn with_height(self, height: usize) -> Self {
        match self {
            Self::Exact(width, _) => Self::Exact(width, Some(height)),
            Self::Model | Self::Shape(..) | Self::Resolution(_) => Self::Exact(None, Some(height)),
        }
    }
}
