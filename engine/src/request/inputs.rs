//! Pictures and clips that a run starts from, read and hashed before anything is loaded.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Note, Request, field};
use crate::error::{Error, RequestError};
use crate::media::FrameRate;
use crate::model_files::{Given, ModelConfig};
use crate::pictures::{ClipInfo, Fit, Picture, read_clip, read_picture};

/// A picture from a file.
#[derive(Clone)]
#[non_exhaustive]
pub struct InputPicture {
    /// The file, as it was named.
    pub path: PathBuf,
    /// SHA-256 of the file, in hexadecimal.
    pub hash: String,
    /// What it shows, at its own size.
    pub picture: Arc<Picture>,
}

impl PartialEq for InputPicture {
    fn eq(&self, other: &Self) -> bool {
        (&self.path, &self.hash) == (&other.path, &other.hash)
    }
}

impl fmt::Debug for InputPicture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = (self.picture.width, self.picture.height);
        f.debug_tuple("InputPicture")
            .field(&self.path)
            .field(&size)
            .finish()
    }
}

/// A clip from an MP4 or a folder of pictures. Its frames are read when they are encoded.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct InputClip {
    /// The file or folder, as it was named.
    pub path: PathBuf,
    /// Its size, rate and hash; `frames` counts those taken at `rate`.
    pub info: ClipInfo,
    /// Frames a second at which it is taken; `None` takes every frame.
    pub rate: Option<FrameRate>,
}

/// What a run starts from beside noise and a prompt.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Inputs {
    /// The first frame.
    pub image: Option<InputPicture>,
    /// The last frame.
    pub last_image: Option<InputPicture>,
    /// The clip that is changed.
    pub video: Option<InputClip>,
    /// How much of the video is made anew, 0 to 1; `Some` where there is a video.
    pub strength: Option<f64>,
    /// How pictures of another shape become the clip's.
    pub fit: Fit,
}

/// `WanVideoToVideoPipeline`'s own.
const STRENGTH: f64 = 0.8;

impl Inputs {
    /// Reads what a request names, after checking that the model can start from it.
    ///
    /// # Errors
    /// [`RequestError::CannotStart`] where the model cannot, [`RequestError::Range`] for fields that
    /// exclude each other; files that are no pictures or clips.
    pub(super) fn read(request: &Request, config: &ModelConfig) -> Result<Self, Error> {
        let able = config.starts_from();
        let asked = [
            ("image", request.image.is_some(), able.image),
            ("last_image", request.last_image.is_some(), able.last_image),
            ("video", request.video.is_some(), able.video),
        ];
        for (field, _, given) in asked.iter().filter(|(_, asked, _)| *asked) {
            if *given == Given::Never {
                return Err(RequestError::CannotStart {
                    model: config.defaults.name.clone(),
                    field,
                    can: crate::model_files::that_start_from(field),
                }
                .into());
            }
        }
        let pictured = request.image.is_some() || request.last_image.is_some();
        let filmed = request.video.is_some();
        let alone = |field: &'static str, given: bool, expected: &str| -> Result<(), Error> {
            match given {
                true => Err(RequestError::Range {
                    field,
                    found: "given".to_owned(),
                    expected: expected.to_owned(),
                }
                .into()),
                false => Ok(()),
            }
        };
        alone(
            "video",
            pictured && filmed,
            "none beside an image: a clip starts from the one or the other",
        )?;
        let (strength, keeps) = (
            request.strength.is_some(),
            request.keep_frames == Some(true),
        );
        alone("strength", strength && !filmed, "none without a video")?;
        alone("keep_frames", keeps && !filmed, "none without a video")?;
        let fits = request.fit.is_some() && !filmed && !pictured;
        alone("fit", fits, "none without an image or a video")?;
        if let Some(strength) = request.strength
            && let Some(field) = field("strength").filter(|field| !field.contains(strength))
        {
            return Err(RequestError::Range {
                field: field.key,
                found: strength.to_string(),
                expected: field.expected(),
            }
            .into());
        }
        let picture = |path: &Option<PathBuf>| -> Result<Option<InputPicture>, Error> {
            let Some(path) = path else { return Ok(None) };
            let (picture, hash) = read_picture(path)?;
            Ok(Some(InputPicture {
                path: path.clone(),
                hash,
                picture: Arc::new(picture),
            }))
        };
        let video = match &request.video {
            None => None,
            Some(path) => {
                let rate = match keeps {
                    true => None,
                    false => Some(FrameRate::from_hz(config.defaults.fps)?),
                };
                Some(InputClip {
                    path: path.clone(),
                    info: read_clip(path, rate)?.info().clone(),
                    rate,
                })
            }
        };
        Ok(Self {
            image: picture(&request.image)?,
            last_image: picture(&request.last_image)?,
            strength: video.as_ref().map(|_| request.strength.unwrap_or(STRENGTH)),
            video,
            fit: request.fit.unwrap_or_default(),
        })
    }

    /// Refuses a run that lacks a picture which the model starts from.
    ///
    /// # Errors
    /// [`RequestError::NeedsPicture`].
    pub(super) fn check(&self, config: &ModelConfig) -> Result<(), RequestError> {
        let starts = config.starts_from();
        let given = [
            ("image", starts.image, self.image.is_some()),
            ("last_image", starts.last_image, self.last_image.is_some()),
        ];
        let missing = given
            .iter()
            .find(|(_, given, found)| *given == Given::Always && !found);
        let either = starts.needs_picture && self.is_empty();
        match missing
            .map(|(field, ..)| *field)
            .or(either.then_some("image"))
        {
            Some(field) => Err(RequestError::NeedsPicture {
                model: config.defaults.name.clone(),
                field,
            }),
            None => Ok(()),
        }
    }

    /// Whether the run starts from noise and a prompt alone.
    pub fn is_empty(&self) -> bool {
        self.image.is_none() && self.last_image.is_none() && self.video.is_none()
    }

    /// Width and height of the picture or clip that the run follows.
    pub(super) fn size(&self) -> Option<[usize; 2]> {
        let picture = self.image.as_ref().or(self.last_image.as_ref());
        let picture = picture.map(|input| [input.picture.width, input.picture.height]);
        let video = self.video.as_ref();
        picture.or(video.map(|video| [video.info.width, video.info.height]))
    }

    /// The steps of a schedule of `steps` that are left out, which a video's frames stand for:
    /// `WanVideoToVideoPipeline.get_timesteps`.
    pub(crate) fn skipped(&self, steps: usize) -> usize {
        match self.strength {
            None => 0,
            // The reference truncates the double.
            Some(strength) => steps - ((steps as f64 * strength) as usize).min(steps),
        }
    }
}

/// A note for each file that a clip started from and that is another now, by the clip's metadata.
pub fn changed_inputs<'m>(entry: impl Fn(&str) -> Option<&'m str>) -> Vec<Note> {
    let hash = |field: &str, path: &Path| match field {
        "video" => read_clip(path, None).map(|clip| clip.info().hash.clone()),
        _ => read_picture(path)
            .map(|(_, hash)| hash)
            .map_err(Error::from),
    };
    let fields = [
        ("image", "image_hash"),
        ("last_image", "last_image_hash"),
        ("video", "video_hash"),
    ];
    let mut notes = Vec::new();
    for (field, key) in fields {
        let (Some(path), Some(known)) = (entry(field), entry(key)) else {
            continue;
        };
        let found = hash(field, Path::new(path)).ok();
        if found.as_deref() != Some(known) {
            notes.push(Note::InputChanged {
                path: path.to_owned(),
                there: found.is_some(),
            });
        }
    }
    notes
}
