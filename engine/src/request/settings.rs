//! A request with every choice made.

use std::fmt;

use super::{Aspect, Inputs, Note, Request, Size, field};
use crate::error::{Error, RequestError};
use crate::media::FrameRate;
use crate::model_files::{Defaults, ModelConfig, SchedulerName};
use crate::pictures::{best_size, floor_size};
use crate::sampling::Distilled;
use crate::text::clean::PROMPT_LIMIT;
use crate::text::tokenizer::MAX_TOKENS;

/// A request with every choice made: enough to run it and to repeat it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
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
    /// The starting noise, by its low 32 bits, as of torch's generator on a CPU.
    pub seed: u64,
    /// The pictures or the clip that it starts from.
    pub inputs: Inputs,
    /// What differs from the request.
    pub(crate) notes: Vec<Note>,
}

fn range(field: &'static str, found: impl fmt::Display, expected: impl Into<String>) -> Error {
    RequestError::Range {
        field,
        found: found.to_string(),
        expected: expected.into(),
    }
    .into()
}

/// Refuses a number that is outside the range of its field.
fn check(key: &'static str, found: f64) -> Result<(), Error> {
    match field(key) {
        Some(field) if !field.contains(found) => Err(range(key, found, field.expected())),
        _ => Ok(()),
    }
}

impl Settings {
    /// Makes every choice that the request leaves open. Needs no device and reads no weights.
    ///
    /// # Errors
    /// A size, number of frames or steps, scale, rate or seed outside its range.
    pub fn resolve(request: &Request, config: &ModelConfig) -> Result<Self, Error> {
        let settings = Self::for_plan(request, config)?;
        settings.inputs.check(config)?;
        Ok(settings)
    }

    /// As [`resolve`](Self::resolve), without the pictures that a model needs for a run and not for its
    /// plan.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    pub fn for_plan(request: &Request, config: &ModelConfig) -> Result<Self, Error> {
        let defaults = &config.defaults;
        for (field, text) in [
            ("prompt", Some(&request.prompt)),
            ("negative_prompt", request.negative_prompt.as_ref()),
        ] {
            if let Some(found) = text.map(String::len).filter(|&n| n > PROMPT_LIMIT) {
                let limit = PROMPT_LIMIT;
                return Err(RequestError::PromptTooLong {
                    field,
                    found,
                    limit,
                    tokens: MAX_TOKENS,
                }
                .into());
            }
        }
        let inputs = Inputs::read(request, config)?;
        let mut notes = Vec::new();
        let [width, height] = size(request.size, inputs.size(), config);
        check("width", width as f64)?;
        check("height", height as f64)?;
        let [tall, wide] = config.pixels_per_token();
        let made = [width.next_multiple_of(wide), height.next_multiple_of(tall)];
        if made != [width, height] {
            notes.push(Note::Cropped {
                asked: [width, height],
                made,
            });
        }

        let card = &defaults.card;
        notes.extend(card.about.clone().map(Note::About));
        if !card.sizes.is_empty() && !card.sizes.contains(&made) {
            notes.push(Note::Size {
                found: made,
                made_for: card.sizes.clone(),
            });
        }

        // Without resampling a video plays at its own rate.
        let video = inputs.video.as_ref();
        let own = video.filter(|video| video.rate.is_none());
        let own = own.and_then(|video| video.info.fps).map(FrameRate::hz);
        let fps = request.fps.or(own).unwrap_or(defaults.fps);
        check("fps", fps)?;
        let temporal = config.vae.scale_factor_temporal.max(1);
        let asked = match (request.frames, request.duration) {
            (Some(frames), _) => frames,
            (None, None) => match video {
                None => defaults.frames,
                Some(video) => {
                    let found = usize::try_from(video.info.frames).unwrap_or(usize::MAX);
                    let most = found.min(defaults.frames).max(1);
                    let used = (most - 1) / temporal * temporal + 1;
                    if used < found {
                        notes.push(Note::VideoCut { used, found });
                    }
                    used
                }
            },
            (None, Some(seconds)) => {
                check("duration", seconds)?;
                // Use the model's own rate: `fps` only affects playback.
                (seconds * defaults.fps).round().clamp(1.0, 1e9) as usize
            }
        };
        check("frames", asked as f64)?;
        let frames = (asked - 1).next_multiple_of(temporal) + 1;
        if frames != asked && request.frames.is_some() {
            notes.push(Note::Frames {
                asked,
                made: frames,
            });
        }

        if request.duration.is_some() && request.frames.is_none() && fps != defaults.fps {
            let model = defaults.fps;
            notes.push(Note::Plays { frames, fps, model });
        }

        if let Some(video) = video.filter(|video| (frames as u64) > video.info.frames) {
            let found = match video.rate {
                Some(rate) => format!("{} at {} a second", video.info.frames, rate.hz()),
                None => video.info.frames.to_string(),
            };
            return Err(range(
                "frames",
                frames,
                format!("at most what the video has, {found}"),
            ));
        }

        if let Some(made_for) = card.most_frames.filter(|&most| frames > most) {
            let found = frames;
            notes.push(Note::Length { found, made_for });
        }

        let scheduler = request.scheduler.or(defaults.scheduler);
        let distilled = scheduler.and_then(SchedulerName::distilled);
        // A distilled scheduler that the model did not choose cannot use the model's default guidance
        // and shift.
        let own = distilled.is_none() || scheduler == defaults.scheduler;
        let asked = request.steps.unwrap_or(defaults.steps);
        check("steps", asked as f64)?;
        let timesteps = match distilled {
            Some(kind) => Some(times(kind, request, own.then_some(defaults))?),
            None if request.timesteps.is_some() => {
                return Err(range(
                    "timesteps",
                    "given",
                    "none, or the scheduler dmd or lcm with it: other solvers make their own",
                ));
            }
            None => None,
        };
        let steps = timesteps.as_ref().map_or(asked, Vec::len);
        if let Some(strength) = inputs.strength.filter(|_| inputs.skipped(steps) == steps) {
            return Err(range(
                "strength",
                strength,
                format!(
                    "at least {}: of {steps} steps none would run",
                    1.0 / steps as f64
                ),
            ));
        }
        let by_default = if own { defaults.guidance } else { 1.0 };
        let guidance = request.guidance.unwrap_or(by_default);
        if distilled.is_some() && guidance > 1.0 {
            notes.push(Note::Guided { scale: guidance });
        }
        let two = config.transformer_2.is_some();
        let guidance_2 = match request.guidance_2 {
            Some(found) if !two => {
                return Err(range(
                    "guidance_2",
                    found,
                    "none: the model has one transformer",
                ));
            }
            // A single scale in the request applies to both transformers.
            None if request.guidance.is_some() => None,
            other => other
                .or(defaults.guidance_2.filter(|_| own))
                .filter(|_| two),
        };
        check("guidance", guidance)?;
        if let Some(scale) = guidance_2 {
            check("guidance_2", scale)?;
        }
        let guidance_stop = (request.guidance_stop).or(defaults.guidance_stop.filter(|_| own));
        if let Some(stop) = guidance_stop {
            check("guidance_stop", stop)?;
        }
        let shift = (request.shift)
            .or(defaults.shift.filter(|_| own))
            .or(distilled.map(Distilled::shift));
        if let Some(shift) = shift {
            check("shift", shift)?;
        }
        let seed = request.seed.unwrap_or_else(|| draw_seed().into());
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
            inputs,
            notes,
        })
    }

    /// The same run with another starting noise.
    #[must_use]
    pub fn with_seed(&self, seed: u64) -> Self {
        Self {
            seed,
            ..self.clone()
        }
    }

    /// What differs from the request.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// The shape of the latents: [1, C, T, h, w].
    pub(crate) fn latent_shape(&self, config: &ModelConfig) -> [usize; 5] {
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
                    "steps",
                    steps,
                    format!("{own}, what the model is distilled for, or timesteps with a list of {steps}"),
                )
            })?,
    };
    match request.steps {
        Some(steps) if steps != list.len() => Err(range(
            "steps",
            steps,
            format!("{}, as many as there are timesteps", list.len()),
        )),
        _ => Ok(list),
    }
}

/// Width and height of a request.
fn size(size: Size, picture: Option<[usize; 2]>, config: &ModelConfig) -> [usize; 2] {
    let Defaults { width, height, .. } = config.defaults;
    let [tall, wide] = config.pixels_per_token();
    let multiple = [wide, tall];
    match size {
        Size::Model => match picture {
            Some(picture) => followed(picture, width * height, config),
            None => [width, height],
        },
        Size::Resolution(short) => match picture {
            Some(picture) => followed(picture, short * long_side(short), config),
            None => [long_side(short), short],
        },
        Size::Exact(w, h) => [w.unwrap_or(width), h.unwrap_or(height)],
        Size::Shape(aspect, Some(short)) => {
            let long = long_side(short);
            match aspect {
                Aspect::Landscape => [long, short],
                Aspect::Portrait => [short, long],
                Aspect::Square => [short, short],
                Aspect::Ratio(..) => aspect.of_short(short, multiple),
            }
        }
        Size::Shape(aspect, None) => {
            let (long, short) = (width.max(height), width.min(height));
            let token = tall.max(wide).max(1);
            let side = ((width * height) as f64).sqrt() / token as f64;
            let side = (side.round().max(1.0) as usize) * token;
            match aspect {
                Aspect::Landscape => [long, short],
                Aspect::Portrait => [short, long],
                Aspect::Square => [side, side],
                Aspect::Ratio(..) => aspect.of_area(width * height, multiple),
            }
        }
    }
}

/// The long side of 16:9 with this short one. The released models' own 480p is 832 wide: 16:9 in
/// whole tokens.
fn long_side(short: usize) -> usize {
    match short {
        480 => 832,
        _ => (short * 16).div_ceil(9).next_multiple_of(2),
    }
}

/// The size of a clip in the shape of a picture, of about `area` pixels, as the model's release
/// chooses it.
fn followed(picture: [usize; 2], area: usize, config: &ModelConfig) -> [usize; 2] {
    let [tall, wide] = config.pixels_per_token();
    let multiple = tall.max(wide).max(1);
    let whole = picture.iter().all(|side| side.is_multiple_of(multiple));
    if whole && picture[0] * picture[1] == area {
        return picture;
    }
    if config.pipeline.expand_timesteps {
        best_size(picture, multiple, area)
    } else {
        floor_size(picture, multiple, area)
    }
}

/// A seed that differs from run to run.
fn draw_seed() -> u32 {
    use std::hash::{BuildHasher, Hasher};
    // The system seeds RandomState once per process; the clock makes later draws differ.
    let mut hasher = std::hash::RandomState::new().build_hasher();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    hasher.write_u128(now.map_or(0, |t| t.as_nanos()));
    hasher.finish() as u32
}
