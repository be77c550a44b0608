//! Notes for the user: how a run differs from the request.

use std::fmt;

use super::fps_text;
use crate::text::tokenizer::MAX_TOKENS;

/// A difference between a run and its request, to be shown to the user.
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
    /// A duration is counted at the model's own rate, and the clip plays at another.
    Plays {
        /// Frames that are made.
        frames: usize,
        /// Frames a second of playback.
        fps: f64,
        /// Frames a second of the model.
        model: f64,
    },
    /// The picture is made larger and cropped centrally.
    Cropped {
        /// Width and height as asked.
        asked: [usize; 2],
        /// As the model makes it.
        made: [usize; 2],
    },
    /// Only the beginning of a video is used.
    VideoCut {
        /// Frames that are used.
        used: usize,
        /// Frames that it has at the rate at which it is taken.
        found: usize,
    },
    /// A file that a clip started from is another now.
    InputChanged {
        /// The file, as it was named.
        path: String,
        /// Whether it is there at all.
        there: bool,
    },
    /// The device failed, and the run is retried from the last sampled step.
    Retrying {
        /// How it failed.
        reason: String,
        /// Bytes of device memory that the retry may use.
        budget: Option<u64>,
    },
    /// The run began on another device or version, so its last bits may differ from an uninterrupted
    /// run's.
    Break {
        /// On which device, or with which version.
        began: String,
    },
    /// A resumed run has all its steps.
    Sampled,
    /// The model does not read the whole prompt.
    Truncated {
        /// The field: `prompt` or `negative_prompt`.
        field: &'static str,
        /// The first words that it does not read.
        from: String,
    },
    /// What the model is, where its card says so.
    About(String),
    /// Layers of a LoRA that the model lacks and leaves out.
    Lora(String),
    /// Words of the prompt that the model has never seen.
    UnknownWords(Vec<String>),
    /// A size that the model was not made for.
    Size {
        /// As made.
        found: [usize; 2],
        /// What it was made for.
        made_for: Vec<[usize; 2]>,
    },
    /// A clip longer than any that the model was made for.
    Length {
        /// Frames.
        found: usize,
        /// Frames that it was made for, at most.
        made_for: usize,
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
            Self::Plays { frames, fps, model } => write!(
                f,
                "{frames} frames at {} a second play for {:.2} s: the duration is counted at the model's own {} a second",
                fps_text(*fps),
                *frames as f64 / fps,
                fps_text(*model)
            ),
            Self::Cropped { asked, made } => write!(
                f,
                "{}x{} is made as {}x{} and cropped centrally: the model makes multiples of its token size",
                asked[0], asked[1], made[0], made[1]
            ),
            Self::VideoCut { used, found } => write!(
                f,
                "the first {used} of the video's {found} frames are used; frames or duration take more"
            ),
            Self::InputChanged { path, there: true } => write!(
                f,
                "{path} has changed since the clip was made: the clip will be another"
            ),
            Self::InputChanged { path, there: false } => {
                write!(f, "{path}, which the clip was made from, cannot be read")
            }
            Self::Retrying { reason, budget } => {
                write!(f, "{reason}; trying once more")?;
                match budget {
                    Some(bytes) => write!(f, " with at most {}", bytes_for_people(*bytes)),
                    None => Ok(()),
                }
            }
            Self::Break { began } => write!(
                f,
                "the run began {began}: the clip may differ in its last bits from that of an uninterrupted run"
            ),
            Self::Sampled => f.write_str("all steps are sampled already"),
            Self::Truncated { field, from } => {
                let what = field.replace('_', " ");
                write!(
                    f,
                    "the {what} is longer than {MAX_TOKENS} tokens; everything from \u{201c}{from}\u{201d} on is ignored"
                )
            }
            Self::About(text) | Self::Lora(text) => f.write_str(text),
            Self::UnknownWords(words) => write!(
                f,
                "the model has never seen {}: what it shows for {} is left to chance",
                words.join(", "),
                if words.len() == 1 {
                    "this word"
                } else {
                    "these words"
                }
            ),
            Self::Size { found, made_for } => {
                let sizes = made_for.iter().map(|[w, h]| format!("{w}x{h}"));
                let sizes = sizes.collect::<Vec<_>>().join(", ");
                write!(
                    f,
                    "the model was made for {sizes}: expect less of {}x{}",
                    found[0], found[1]
                )
            }
            Self::Length { found, made_for } => write!(
                f,
                "the model was made for at most {made_for} frames: expect less of {found}"
            ),
            Self::Guided { scale } => write!(
                f,
                "guidance {scale} takes a second pass a step: models distilled to a few steps are made for guidance 1"
            ),
        }
    }
}

/// Bytes as people count them: 1 MB is 1,000,000.
pub fn bytes_for_people(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..10_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        10_000_000..10_000_000_000 => format!("{:.0} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// Bytes as people write them: 8GB, 512MB, 7.5GiB, 1000000.
///
/// # Errors
/// A sentence if the text is not a size.
pub fn bytes_of(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: f64 = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "kib" => 1024.0,
        "mib" => 1_048_576.0,
        "gib" => 1_073_741_824.0,
        _ => 0.0,
    };
    let number: f64 = digits.trim_end().parse().unwrap_or(-1.0);
    let bytes = number * unit;
    if unit == 1.0 && (1.0..1e6).contains(&bytes) {
        return Err(format!(
            "{digits} bytes are too few for anything: was {digits}GB meant?"
        ));
    }
    if (1.0..1e18).contains(&bytes) {
        Ok(bytes as u64)
    } else {
        Err("expected a size such as 8GB, 7.5GiB or 600MB".into())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, expected) in [
            ("8GB", Some(8_000_000_000)),
            ("7.5GiB", Some(8_053_063_680)),
            ("600 mb", Some(600_000_000)),
            ("8", None),
            ("4096", None),
            ("4096000", Some(4_096_000)),
            ("8TB", None),
            ("-1GB", None),
            ("0", None),
            ("GB", None),
            ("1e30GB", None),
        ] {
            assert_eq!(super::bytes_of(text).ok(), expected, "{text}");
        }
    }
}
