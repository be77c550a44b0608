//! Where frames go: an MP4, pictures in a folder, memory, or whatever an application makes of them.

mod files;
mod thread;

use std::borrow::Cow;

pub use files::{ClipSink, Mp4Sink, PngSink, StillSink};
pub use thread::OnThread;

use crate::error::{Error, MediaError};
use crate::pipeline::{Picture, Planes};

/// What a clip will be, before its first frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClipInfo {
    /// Pixels a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// How many frames.
    pub frames: usize,
}

/// What a sink reads of a frame that the decoder left on the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// [`Frame::rgb`].
    #[default]
    Rgb,
    /// [`Frame::yuv420`], converted on the device.
    Yuv420,
}

/// Planes of YUV 4:2:0 in one run of bytes, and where each lies in it.
pub type Yuv420<'f> = (Planes, Cow<'f, [u8]>);

/// A decoded frame.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'f> {
    /// Its number, from 0.
    pub index: usize,
    /// Pixels a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    source: Source<'f>,
}

/// Where a frame's pixels are.
#[derive(Clone, Copy, Debug)]
enum Source<'f> {
    /// Where the decoder left them.
    Decoder(Picture<'f>),
    /// On the host, RGB.
    Rgb(&'f [u8]),
    /// On the host, YUV 4:2:0.
    Yuv420(Planes, &'f [u8]),
}

impl<'f> Frame<'f> {
    pub(super) fn new(index: usize, picture: Picture<'f>) -> Self {
        let [width, height] = picture.size();
        Self {
            index,
            width,
            height,
            source: Source::Decoder(picture),
        }
    }

    fn of_host(index: usize, info: &ClipInfo, source: Source<'f>) -> Self {
        Self {
            index,
            width: info.width,
            height: info.height,
            source,
        }
    }

    /// 8-bit RGB, [height, width, 3], rows without gaps; read back from the device if it lies there.
    ///
    /// # Errors
    /// The device failed; [`MediaError::Planes`] for a frame that went through an [`OnThread`] whose
    /// sink asked for [`Layout::Yuv420`].
    pub fn rgb(&self) -> Result<Cow<'f, [u8]>, Error> {
        match &self.source {
            Source::Decoder(picture) => picture.rgb(),
            Source::Rgb(rgb) => Ok(Cow::Borrowed(rgb)),
            Source::Yuv420(..) => Err(MediaError::Planes { frame: self.index }.into()),
        }
    }

    /// The planes of YUV 4:2:0 (BT.709, limited range) of a frame on the device, converted there and
    /// read back, and their layout; `None` for a frame that is RGB on the host.
    ///
    /// # Errors
    /// The device failed.
    pub fn yuv420(&self) -> Result<Option<Yuv420<'f>>, Error> {
        match &self.source {
            Source::Decoder(picture) if picture.is_on_device() => {
                let (planes, bytes) = picture.yuv420()?;
                Ok(Some((planes, bytes.into())))
            }
            Source::Decoder(_) | Source::Rgb(_) => Ok(None),
            Source::Yuv420(planes, bytes) => Ok(Some((*planes, Cow::Borrowed(bytes)))),
        }
    }

    /// The frame on the device: for textures and planes. `None` behind an [`OnThread`], which takes
    /// frames to the host.
    pub fn picture(&self) -> Option<&Picture<'f>> {
        match &self.source {
            Source::Decoder(picture) => Some(picture),
            Source::Rgb(_) | Source::Yuv420(..) => None,
        }
    }
}

/// Takes the frames of a clip, in order. A closure that takes a [`Frame`] is a sink.
pub trait Sink {
    /// What it reads of frames on the device; an [`OnThread`] takes that to the host.
    fn layout(&self) -> Layout {
        Layout::Rgb
    }

    /// Before the first frame.
    ///
    /// # Errors
    /// Whatever keeps the sink from taking such a clip; the run ends with it.
    fn begin(&mut self, _clip: &ClipInfo) -> Result<(), Error> {
        Ok(())
    }

    /// The next frame.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), Error>;

    /// After the last frame of a clip that is whole; not called for a run that ends early.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    fn finish(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// After a run that ended early: frames that are on their way are dropped. Returns why the sink
    /// itself failed, if it did.
    fn abandon(&mut self) -> Option<Error> {
        None
    }
}

impl<F: FnMut(&Frame<'_>) -> Result<(), Error>> Sink for F {
    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), Error> {
        self(frame)
    }
}

/// Two sinks, one after the other for each frame; the second may be left out.
#[derive(Clone, Debug)]
pub struct Both<A, B>(pub A, pub Option<B>);

impl<A: Sink, B: Sink> Sink for Both<A, B> {
    /// RGB unless both want the same: it can be made into anything.
    fn layout(&self) -> Layout {
        let first = self.0.layout();
        match &self.1 {
            Some(second) if second.layout() != first => Layout::Rgb,
            _ => first,
        }
    }

    fn begin(&mut self, clip: &ClipInfo) -> Result<(), Error> {
        self.0.begin(clip)?;
        self.1.as_mut().map_or(Ok(()), |second| second.begin(clip))
    }

    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), Error> {
        let second = self.1.as_mut();
        second.map_or(Ok(()), |second| second.frame(frame))?;
        self.0.frame(frame)
    }

    fn finish(&mut self) -> Result<(), Error> {
        let second = self.1.as_mut();
        second.map_or(Ok(()), Sink::finish)?;
        self.0.finish()
    }

    fn abandon(&mut self) -> Option<Error> {
        let first = self.0.abandon();
        let second = self.1.as_mut().and_then(Sink::abandon);
        first.or(second)
    }
}
