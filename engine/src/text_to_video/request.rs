//! What is asked for, and what will be done about it.

use std::fmt;

use super::memory::bytes_for_people;
use crate::error::{Error, RequestError};
use crate::model_files::{Defaults, ModelConfig, SchedulerName};
use crate::sampling::Distilled;
use crate::text::clean::PROMPT_LIMIT;

/// Pixels per side, at most: four times the longest side of 4K.
const MAX_SIDE: usize = 16_384;
/// Frames, at most: ten minutes at 24 a second.
const MAX_FRAMES: usize = 14_401;
/// Steps, at most: the released schedules are trained on 1,000.
const MAX_STEPS: usize = 1_000;
/// Tokens of a prompt that the model reads.
pub(super) const MAX_TOKENS: usize = 512;

/// The shape of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aspect {
    /// 16:9
    Landscape,
    /// 9:16
    Portrait,
    /// 1:1
    Square,
}

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
}

/// A clip to be made. `None` stands for the model's default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// What the clip shows.
    pub prompt: String,
    /// What guidance leads away from.
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
    /// 32 bits; drawn where it is `None`.
    pub seed: Option<u64>,
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

/// Something done otherwise than asked, to be told to the person who asked.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Note {
    /// Frames went up to the next 4n + 1.
    Frames {
        /// As asked.
        asked: usize,
        /// As made.
        made: usize,
    },
    /// The picture is made larger and cropped centrally.
    Cropped {
        /// Width and height as asked.
        asked: [usize; 2],
        /// As the model makes it.
        made: [usize; 2],
    },
    /// The device failed, and the run goes on once more from what was sampled.
    OnceMore {
        /// How it failed.
        reason: String,
        /// Bytes of device memory that it may take now.
        budget: Option<u64>,
    },
    /// The model does not read the whole prompt.
    Truncated {
        /// `prompt` or `negative prompt`.
        what: &'static str,
        /// The first words that it does not read.
        from: String,
    },
    /// A model distilled to do without guidance is guided.
    Guided {
        /// The scale asked for.
        scale: f64,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frames { asked, made } => {
                write!(f, "{asked} frames become {made}: the model makes 4n + 1")
            }
            Self::Cropped { asked, made } => write!(
                f,
                "{}x{} is made as {}x{} and cropped centrally: the model makes multiples of its token size",
                asked[0], asked[1], made[0], made[1]
            ),
            Self::OnceMore { reason, budget } => {
                write!(f, "{reason}; going on once more")?;
                match budget {
                    Some(bytes) => write!(f, " with at most {}", bytes_for_people(*bytes)),
                    None => Ok(()),
                }
            }
            Self::Truncated { what, from } => {
                write!(
                    f,
                    "the {what} is longer than {MAX_TOKENS} tokens; not read from \u{201c}{from}\u{201d} on"
                )
            }
            Self::Guided { scale } => write!(
                f,
                "guidance {scale} takes a second pass a step: models distilled to a few steps are made for guidance 1"
            ),
        }
    }
}

/// A request with every choice made: what a run does, and what makes it again.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// As asked, not cleaned.
    pub prompt: String,
    /// As asked or the model's.
    pub negative_prompt: String,
    /// Pixels of the clip.
    pub width: usize,
    /// Pixels of the clip.
    pub height: usize,
    /// Pixels the model makes: at least `width` and `height`, a multiple of its token.
    pub made: [usize; 2],
    /// 4n + 1.
    pub frames: usize,
    /// Frames a second of playback.
    pub fps: f64,
    /// Sampling steps.
    pub steps: usize,
    /// Classifier-free guidance.
    pub guidance: f64,
    /// Guidance of the second expert.
    pub guidance_2: Option<f64>,
    /// The share of the steps after which guidance stops, where it does.
    pub guidance_stop: Option<f64>,
    /// The schedule's shift, where not the checkpoint's.
    pub shift: Option<f64>,
    /// The solver, where not the checkpoint's.
    pub scheduler: Option<SchedulerName>,
    /// The times of the steps, as many as `steps`, where the solver is one for distilled models.
    pub timesteps: Option<Vec<u32>>,
    /// The starting noise.
    pub seed: u32,
    /// What differs from the request.
    pub notes: Vec<Note>,
}

fn range(option: &'static str, found: impl fmt::Display, expected: impl Into<String>) -> Error {
    RequestError::Range {
        option,
        found: found.to_string(),
        expected: expected.into(),
    }
    .into()
}

impl Settings {
    /// Makes every choice that the request leaves open. Needs no device and reads no weights.
    ///
    /// # Errors
    /// A size, number of frames or steps, scale, rate or seed outside its range.
    pub fn resolve(request: &Request, config: &ModelConfig) -> Result<Self, Error> {
        let defaults = &config.defaults;
        for (option, text) in [
            ("the prompt", Some(&request.prompt)),
            ("the negative prompt", request.negative_prompt.as_ref()),
        ] {
            if let Some(found) = text.map(String::len).filter(|&n| n > PROMPT_LIMIT) {
                let limit = PROMPT_LIMIT;
                return Err(RequestError::PromptTooLong {
                    option,
                    found,
                    limit,
                    tokens: MAX_TOKENS,
                }
                .into());
            }
        }
        let mut notes = Vec::new();
        let [width, height] = size(request.size, config);
        for (option, side) in [("--width", width), ("--height", height)] {
            if side == 0 || side > MAX_SIDE {
                return Err(range(option, side, format!("1 to {MAX_SIDE} pixels")));
            }
        }
        let [tall, wide] = config.pixels_per_token();
        let made = [width.next_multiple_of(wide), height.next_multiple_of(tall)];
        if made != [width, height] {
            notes.push(Note::Cropped {
                asked: [width, height],
                made,
            });
        }

        let fps = request.fps.unwrap_or(defaults.fps);
        if !(fps.is_finite() && (1.0..=240.0).contains(&fps)) {
            return Err(range("--fps", fps, "1 to 240"));
        }
        let asked = match (request.frames, request.duration) {
            (Some(frames), _) => frames,
            (None, None) => defaults.frames,
            (None, Some(seconds)) if seconds.is_finite() && seconds > 0.0 => {
                // The model's own rate: `fps` changes playback alone.
                (seconds * defaults.fps).round().clamp(1.0, 1e9) as usize
            }
            (None, Some(seconds)) => {
                return Err(range("--duration", seconds, "a positive number of seconds"));
            }
        };
        if asked == 0 || asked > MAX_FRAMES {
            return Err(range("--frames", asked, format!("1 to {MAX_FRAMES}")));
        }
        let temporal = config.vae.scale_factor_temporal.max(1);
        let frames = (asked - 1).next_multiple_of(temporal) + 1;
        if frames != asked && request.frames.is_some() {
            notes.push(Note::Frames {
                asked,
                made: frames,
            });
        }

        let scheduler = request.scheduler.or(defaults.scheduler);
        let distilled = scheduler.and_then(SchedulerName::distilled);
        // What the model says of guidance and shift is said for its own way of sampling.
        let own = distilled.is_none() || scheduler == defaults.scheduler;
        let asked = request.steps.unwrap_or(defaults.steps);
        if asked == 0 || asked > MAX_STEPS {
            return Err(range("--steps", asked, format!("1 to {MAX_STEPS}")));
        }
        let timesteps = match distilled {
            Some(kind) => Some(times(kind, request, own.then_some(defaults))?),
            None if request.timesteps.is_some() => {
                return Err(range(
                    "--timesteps",
                    "given",
                    "none, or --scheduler dmd or lcm with it: other solvers make their own",
                ));
            }
            None => None,
        };
        let steps = timesteps.as_ref().map_or(asked, Vec::len);
        let by_default = if own { defaults.guidance } else { 1.0 };
        let guidance = request.guidance.unwrap_or(by_default);
        if distilled.is_some() && guidance > 1.0 {
            notes.push(Note::Guided { scale: guidance });
        }
        let two = config.transformer_2.is_some();
        let guidance_2 = match request.guidance_2 {
            Some(found) if !two => {
                return Err(range(
                    "--guidance-2",
                    found,
                    "none: the model has one transformer",
                ));
            }
            // Asked for one scale of a model with two, one scale is meant.
            None if request.guidance.is_some() => None,
            other => other
                .or(defaults.guidance_2.filter(|_| own))
                .filter(|_| two),
        };
        for (option, scale) in [("--guidance", Some(guidance)), ("--guidance-2", guidance_2)] {
            if let Some(found) = scale.filter(|s| !s.is_finite() || s.abs() > 1000.0) {
                return Err(range(option, found, "-1000 to 1000"));
            }
        }
        let guidance_stop = (request.guidance_stop).or(defaults.guidance_stop.filter(|_| own));
        if let Some(found) = guidance_stop.filter(|stop| !(0.0..=1.0).contains(stop)) {
            return Err(range("--guidance-stop", found, "0 to 1"));
        }
        let shift = (request.shift)
            .or(defaults.shift.filter(|_| own))
            .or(distilled.map(Distilled::shift));
        if let Some(found) = shift.filter(|s| !(s.is_finite() && *s > 0.0 && *s <= 1000.0)) {
            return Err(range("--shift", found, "more than 0 and at most 1000"));
        }
        let seed = match request.seed {
            None => draw_seed(),
            Some(seed) => u32::try_from(seed)
                .map_err(|_| range("--seed", seed, "0 to 4294967295: seeds have 32 bits"))?,
        };
        Ok(Self {
            prompt: request.prompt.clone(),
            negative_prompt: request
                .negative_prompt
                .clone()
                .unwrap_or_else(|| defaults.negative_prompt.clone()),
            width,
            height,
            made,
            frames,
            fps,
            steps,
            guidance,
            guidance_2,
            guidance_stop,
            shift,
            scheduler,
            timesteps,
            seed,
            notes,
        })
    }

    /// The shape of the latents: [1, C, T, h, w].
    pub fn latent_shape(&self, config: &ModelConfig) -> [usize; 5] {
        let vae = &config.vae;
        let [wide, tall] = self.made.map(|side| side / vae.scale_factor_spatial);
        [
            1,
            vae.z_dim,
            (self.frames - 1) / vae.scale_factor_temporal.max(1) + 1,
            tall,
            wide,
        ]
    }
}

/// The times of a distilled model's steps: as asked, as `model` says, or its kind's own.
fn times(kind: Distilled, request: &Request, model: Option<&Defaults>) -> Result<Vec<u32>, Error> {
    let of_model = model.and_then(|defaults| defaults.timesteps.clone());
    let list = match (&request.timesteps, request.steps) {
        (Some(list), _) => list.clone(),
        (None, None) => of_model.unwrap_or_else(|| kind.timesteps().to_vec()),
        (None, Some(steps)) => of_model
            .filter(|list| list.len() == steps)
            .or_else(|| kind.timesteps_of(steps))
            .ok_or_else(|| {
                let own = kind.timesteps().len();
                range(
                    "--steps",
                    steps,
                    format!("{own}, what the model is distilled for, or --timesteps with a list of {steps}"),
                )
            })?,
    };
    match request.steps {
        Some(steps) if steps != list.len() => Err(range(
            "--steps",
            steps,
            format!("{}, as many as there are --timesteps", list.len()),
        )),
        _ => Ok(list),
    }
}

/// Width and height of a request.
fn size(size: Size, config: &ModelConfig) -> [usize; 2] {
    let Defaults { width, height, .. } = config.defaults;
    match size {
        Size::Model => [width, height],
        Size::Exact(w, h) => [w.unwrap_or(width), h.unwrap_or(height)],
        Size::Shape(aspect, Some(short)) => {
            // The released models' own 480p is 832 wide: 16:9 in whole tokens.
            let long = match short {
                480 => 832,
                _ => (short * 16).div_ceil(9).next_multiple_of(2),
            };
            match aspect {
                Aspect::Landscape => [long, short],
                Aspect::Portrait => [short, long],
                Aspect::Square => [short, short],
            }
        }
        Size::Shape(aspect, None) => {
            let (long, short) = (width.max(height), width.min(height));
            let [tall, wide] = config.pixels_per_token();
            let token = tall.max(wide).max(1);
            let side = ((width * height) as f64).sqrt() / token as f64;
            let side = (side.round().max(1.0) as usize) * token;
            match aspect {
                Aspect::Landscape => [long, short],
                Aspect::Portrait => [short, long],
                Aspect::Square => [side, side],
            }
        }
    }
}

/// A seed that differs from run to run.
fn draw_seed() -> u32 {
    use std::hash::{BuildHasher, Hasher};
    // RandomState is seeded by the system, once a process; the clock sets apart later draws.
    let mut hasher = std::hash::RandomState::new().build_hasher();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    hasher.write_u128(now.map_or(0, |t| t.as_nanos()));
    hasher.finish() as u32
}
