//! The frames that an encoder is given: pictures or a clip at the run's size, in [-1, 1].

use crate::error::{Error, PictureError};
use crate::pictures::{ClipFrames, Fit, Picture, pixels, read_clip};
use crate::request::{InputClip, InputPicture, Inputs};

/// The frames of a video to encode, by number.
pub(super) enum Frames<'i> {
    /// Known first and last frames; mid grey between them.
    Ends {
        first: Option<Vec<f32>>,
        last: Option<Vec<f32>>,
        frames: usize,
    },
    /// A clip, read in order; from its beginning again where an earlier frame is asked for.
    Clip {
        clip: &'i InputClip,
        open: Option<ClipFrames>,
        next: usize,
        size: [usize; 2],
        fit: Fit,
    },
}

impl<'i> Frames<'i> {
    /// The frames of a run of `frames` frames of `size` [width, height].
    pub(super) fn new(inputs: &'i Inputs, size: [usize; 2], frames: usize) -> Self {
        let fitted = |input: &InputPicture| pixels(&input.picture.fitted(size, inputs.fit).rgb);
        match &inputs.video {
            Some(clip) => Self::Clip {
                clip,
                open: None,
                next: 0,
                size,
                fit: inputs.fit,
            },
            None => Self::Ends {
                first: inputs.image.as_ref().map(fitted),
                last: inputs.last_image.as_ref().map(fitted),
                frames,
            },
        }
    }

    /// Writes frame `number`, [H, W, 3].
    ///
    /// # Errors
    /// A clip that cannot be read, or that changed since it was hashed.
    pub(super) fn read(&mut self, number: usize, into: &mut [f32]) -> Result<(), Error> {
        match self {
            Self::Ends {
                first,
                last,
                frames,
            } => {
                let known = match number {
                    0 => first.as_ref(),
                    _ if number + 1 == *frames => last.as_ref(),
                    _ => None,
                };
                match known {
                    Some(known) => into.copy_from_slice(known),
                    None => into.fill(0.0),
                }
                Ok(())
            }
            Self::Clip {
                clip,
                open,
                next,
                size,
                fit,
            } => {
                if *next > number {
                    *open = None;
                }
                let source = match open {
                    Some(source) => source,
                    None => {
                        *next = 0;
                        open.insert(reopened(clip)?)
                    }
                };
                let frame = loop {
                    let Some(frame) = source.next() else {
                        return Err(changed(clip));
                    };
                    let frame: Picture = frame?;
                    *next += 1;
                    if *next > number {
                        break frame;
                    }
                };
                into.copy_from_slice(&pixels(&frame.fitted(*size, *fit).rgb));
                Ok(())
            }
        }
    }
}

/// The clip, if it is still the one that was hashed.
fn reopened(clip: &InputClip) -> Result<ClipFrames, Error> {
    let source = read_clip(&clip.path, clip.rate)?;
    if source.info().hash == clip.info.hash {
        Ok(source)
    } else {
        Err(changed(clip))
    }
}

fn changed(clip: &InputClip) -> Error {
    PictureError::Changed {
        path: clip.path.clone(),
    }
    .into()
}
