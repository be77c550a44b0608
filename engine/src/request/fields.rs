//! One table of the fields of a run: name, range, and text in a clip's metadata. Validation,
//! metadata, saved runs and interfaces read it, so a new setting is one row, one flag and its use.

use super::time::{fps_of, fps_text};
use super::{InputPicture, Request, Settings};
use crate::error::{Error, RequestError};
use crate::model_files::SchedulerName;
use crate::pictures::Fit;

/// Pixels per side, at most: four times the longest side of 4K.
pub(super) const MAX_SIDE: usize = 16_384;
/// Frames, at most: ten minutes at 24 a second.
pub(super) const MAX_FRAMES: usize = 14_401;
/// Steps, at most: the released schedules are trained on 1,000.
pub(super) const MAX_STEPS: usize = 1_000;

/// What a field's value may be.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Range {
    /// Any text.
    Text,
    /// A whole number from the first to the second.
    Count(u64, u64),
    /// A number from the first to the second.
    Real(f64, f64),
    /// A list of whole numbers, separated by commas.
    Counts,
    /// One of some names.
    Name,
}

/// Where a field's value comes from.
#[derive(Clone, Copy)]
enum Source {
    /// The request; read by the function where a request may be given as text.
    Request(fn(&mut Request, &str) -> Option<()>),
    /// The engine or its model.
    Engine,
    /// The application: text as the user typed it. It does not affect the clip.
    Application,
}

/// A field of a run.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Field {
    /// Its name everywhere: in errors, metadata, saved runs and JSON.
    pub key: &'static str,
    /// What its value may be.
    pub range: Range,
    /// What it is, in a line.
    pub doc: &'static str,
    source: Source,
    /// Its value in a run, as text.
    get: fn(&Facts<'_>) -> Option<String>,
}

/// The values from which a run's metadata are made.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The choices of the run.
    pub settings: &'a Settings,
    /// The scheduler's name and shift, as they were used.
    pub scheduler: (SchedulerName, f64),
    /// What makes the pictures.
    pub decoder: &'static str,
    /// Which latents a tiny decoder took.
    pub tiny_latents: Option<&'a str>,
    /// What operands were rounded to.
    pub precision: &'static str,
    /// The element type that the weights were quantized to when they were read.
    pub quantize: Option<&'a str>,
    /// The model's name, the hash of its weights, the hash of its tokenizer.
    pub model: [&'a str; 3],
}

impl std::fmt::Debug for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Field").field("key", &self.key).finish()
    }
}

const fn asked(
    key: &'static str,
    range: Range,
    doc: &'static str,
    set: fn(&mut Request, &str) -> Option<()>,
    get: fn(&Facts<'_>) -> Option<String>,
) -> Field {
    Field {
        key,
        range,
        doc,
        source: Source::Request(set),
        get,
    }
}

const fn fact(
    key: &'static str,
    doc: &'static str,
    get: fn(&Facts<'_>) -> Option<String>,
) -> Field {
    Field {
        key,
        range: Range::Text,
        doc,
        source: Source::Engine,
        get,
    }
}

const fn typed(key: &'static str, doc: &'static str) -> Field {
    Field {
        key,
        range: Range::Text,
        doc,
        source: Source::Application,
        get: |_| None,
    }
}

/// Puts a parsed value into a field of the request.
fn put<T: std::str::FromStr>(to: &mut Option<T>, text: &str) -> Option<()> {
    *to = Some(text.parse().ok()?);
    Some(())
}

/// A picture's file, as it was named.
fn path(input: Option<&InputPicture>) -> Option<String> {
    Some(input?.path.display().to_string())
}

/// The hash of a picture's file.
fn hash(input: Option<&InputPicture>) -> Option<String> {
    Some(input?.hash.clone())
}

const SIDE: Range = Range::Count(1, MAX_SIDE as u64);
const SCALE: Range = Range::Real(-1000.0, 1000.0);

/// The fields, in the order in which a clip carries them.
pub const FIELDS: [Field; 41] = [
    asked(
        "prompt",
        Range::Text,
        "what the clip shows",
        |r, t| {
            r.prompt = t.to_owned();
            Some(())
        },
        |f| Some(f.settings.prompt.clone()),
    ),
    asked(
        "negative_prompt",
        Range::Text,
        "what guidance steers away from",
        |r, t| {
            r.negative_prompt = Some(t.to_owned());
            Some(())
        },
        |f| Some(f.settings.negative_prompt.clone()),
    ),
    asked(
        "seed",
        Range::Count(0, u64::MAX),
        "the starting noise",
        |r, t| put(&mut r.seed, t),
        |f| Some(f.settings.seed.to_string()),
    ),
    asked(
        "steps",
        Range::Count(1, MAX_STEPS as u64),
        "sampling steps",
        |r, t| put(&mut r.steps, t),
        |f| Some(f.settings.steps.to_string()),
    ),
    asked(
        "guidance",
        SCALE,
        "classifier-free guidance; 1 or less turns it off",
        |r, t| put(&mut r.guidance, t),
        |f| Some(f.settings.guidance.to_string()),
    ),
    asked(
        "guidance_2",
        SCALE,
        "guidance of the second transformer",
        |r, t| put(&mut r.guidance_2, t),
        |f| f.settings.guidance_2.map(|scale| scale.to_string()),
    ),
    asked(
        "guidance_stop",
        Range::Real(0.0, 1.0),
        "the share of the steps after which guidance stops",
        |r, t| put(&mut r.guidance_stop, t),
        |f| f.settings.guidance_stop.map(|stop| stop.to_string()),
    ),
    asked(
        "shift",
        Range::Real(0.0, 1000.0),
        "the schedule's shift",
        |r, t| put(&mut r.shift, t),
        |f| Some(f.scheduler.1.to_string()),
    ),
    asked(
        "scheduler",
        Range::Name,
        "the solver",
        |r, t| {
            r.scheduler = Some(SchedulerName::named(t)?);
            Some(())
        },
        |f| Some(f.scheduler.0.name().to_owned()),
    ),
    asked(
        "timesteps",
        Range::Counts,
        "the times of a distilled model's steps",
        |r, t| {
            r.timesteps = Some(
                t.split(',')
                    .map(|t| t.trim().parse().ok())
                    .collect::<Option<_>>()?,
            );
            Some(())
        },
        |f| {
            let times = f.settings.timesteps.as_ref()?.iter().map(u32::to_string);
            Some(times.collect::<Vec<_>>().join(","))
        },
    ),
    fact("decoder", "what makes pictures of the latents", |f| {
        Some(f.decoder.to_owned())
    }),
    typed("tiny_decoder", "the tiny decoder's file"),
    fact(
        "tiny_decoder_latents",
        "which latents the tiny decoder takes: raw or scaled",
        |f| f.tiny_latents.map(str::to_owned),
    ),
    asked(
        "width",
        SIDE,
        "pixels a row",
        |r, t| {
            r.size = r.size.with_width(t.parse().ok()?);
            Some(())
        },
        |f| Some(f.settings.width.to_string()),
    ),
    asked(
        "height",
        SIDE,
        "rows",
        |r, t| {
            r.size = r.size.with_height(t.parse().ok()?);
            Some(())
        },
        |f| Some(f.settings.height.to_string()),
    ),
    asked(
        "frames",
        Range::Count(1, MAX_FRAMES as u64),
        "number of frames, 4n + 1",
        |r, t| put(&mut r.frames, t),
        |f| Some(f.settings.frames.to_string()),
    ),
    asked(
        "fps",
        Range::Real(1.0, 240.0),
        "frames a second of playback",
        |r, t| {
            r.fps = Some(fps_of(t)?);
            Some(())
        },
        |f| Some(fps_text(f.settings.fps)),
    ),
    asked(
        "duration",
        Range::Real(0.0, f64::MAX),
        "seconds at the model's own rate, where frames are not given",
        |r, t| put(&mut r.duration, t),
        |_| None,
    ),
    asked(
        "image",
        Range::Text,
        "the picture that is the first frame",
        |r, t| put(&mut r.image, t),
        |f| path(f.settings.inputs.image.as_ref()),
    ),
    fact("image_hash", "the SHA-256 of the image's file", |f| {
        hash(f.settings.inputs.image.as_ref())
    }),
    asked(
        "last_image",
        Range::Text,
        "the picture that is the last frame",
        |r, t| put(&mut r.last_image, t),
        |f| path(f.settings.inputs.last_image.as_ref()),
    ),
    fact(
        "last_image_hash",
        "the SHA-256 of the last image's file",
        |f| hash(f.settings.inputs.last_image.as_ref()),
    ),
    asked(
        "video",
        Range::Text,
        "the clip that is changed",
        |r, t| put(&mut r.video, t),
        |f| {
            let video = f.settings.inputs.video.as_ref()?;
            Some(video.path.display().to_string())
        },
    ),
    fact("video_hash", "the SHA-256 of the video's file", |f| {
        Some(f.settings.inputs.video.as_ref()?.info.hash.clone())
    }),
    asked(
        "strength",
        Range::Real(0.0, 1.0),
        "how much of the video is made anew",
        |r, t| put(&mut r.strength, t),
        |f| Some(f.settings.inputs.strength?.to_string()),
    ),
    asked(
        "fit",
        Range::Name,
        "how pictures of another shape become the clip's",
        |r, t| {
            r.fit = Some(Fit::named(t)?);
            Some(())
        },
        |f| {
            let inputs = &f.settings.inputs;
            (!inputs.is_empty()).then(|| inputs.fit.name().to_owned())
        },
    ),
    asked(
        "keep_frames",
        Range::Name,
        "whether a video is taken frame by frame: true or false",
        |r, t| put(&mut r.keep_frames, t),
        |f| {
            let video = f.settings.inputs.video.as_ref()?;
            Some(video.rate.is_none().to_string())
        },
    ),
    fact(
        "precision",
        "what operands of products are rounded to",
        |f| Some(f.precision.to_owned()),
    ),
    fact("quantize", "the type that weights are held in", |f| {
        f.quantize.map(str::to_owned)
    }),
    fact("model", "the model's name", |f| Some(f.model[0].to_owned())),
    fact("model_hash", "the hash of the model's weights", |f| {
        Some(f.model[1].to_owned())
    }),
    fact("tokenizer_hash", "the hash of the tokenizer's file", |f| {
        Some(f.model[2].to_owned())
    }),
    fact("kinora", "the version that made the clip", |_| {
        Some(env!("CARGO_PKG_VERSION").to_owned())
    }),
    typed("model_path", "the model's folder"),
    typed("transformer_path", "the transformer's file"),
    typed("transformer_2_path", "the second transformer's file"),
    typed("text_encoder_path", "the text encoder's file"),
    typed("image_encoder_path", "the image encoder's file"),
    typed("vae_path", "the autoencoder's file"),
    typed("tokenizer_path", "the tokenizer's file"),
    typed("loras", "the LoRAs and their strengths, a line each"),
];

/// The field of a key.
pub fn field(key: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.key == key)
}

impl Field {
    /// The field's value in a run, as text; `None` where it is not set or the application's.
    pub fn value(&self, facts: &Facts<'_>) -> Option<String> {
        (self.get)(facts)
    }

    /// Whether a request has the field.
    pub fn is_asked(&self) -> bool {
        matches!(self.source, Source::Request(_))
    }

    /// Whether the field records what the user typed and does not affect the clip.
    pub fn is_typed(&self) -> bool {
        matches!(self.source, Source::Application)
    }

    /// Reads a value from text into a request.
    ///
    /// # Errors
    /// [`RequestError::Range`] for text that is no such value, or for a field that no request has.
    pub fn set(&self, request: &mut Request, text: &str) -> Result<(), Error> {
        let expected = match self.source {
            Source::Request(set) => match set(request, text) {
                Some(()) => return Ok(()),
                None => self.expected(),
            },
            Source::Engine | Source::Application => {
                "left out: a request does not have it".to_owned()
            }
        };
        Err(RequestError::Range {
            field: self.key,
            found: text.to_owned(),
            expected,
        }
        .into())
    }

    /// Whether a number is in the field's range.
    pub fn contains(&self, value: f64) -> bool {
        let above = !matches!(self.key, "shift" | "duration" | "strength") || value > 0.0;
        match self.range {
            Range::Count(least, most) => (least as f64..=most as f64).contains(&value),
            Range::Real(least, most) => {
                value.is_finite() && above && (least..=most).contains(&value)
            }
            Range::Text | Range::Counts | Range::Name => true,
        }
    }

    /// What the value may be, in words.
    pub fn expected(&self) -> String {
        match self.range {
            Range::Text => "text".to_owned(),
            Range::Count(least, most) => format!("{least} to {most}"),
            Range::Real(0.0, most) if matches!(self.key, "shift" | "strength") => {
                format!("more than 0 and at most {most}")
            }
            Range::Real(0.0, _) if self.key == "duration" => {
                "a positive number of seconds".to_owned()
            }
            Range::Real(least, most) => format!("{least} to {most}"),
            Range::Counts => "whole numbers with commas between them".to_owned(),
            Range::Name => {
                let names = match self.key {
                    "fit" => Fit::ALL.map(|(name, _)| name).to_vec(),
                    "keep_frames" => vec!["true", "false"],
                    _ => SchedulerName::ALL.map(|(name, _)| name).to_vec(),
                };
                format!("one of {}", names.join(", "))
            }
        }
    }
}
