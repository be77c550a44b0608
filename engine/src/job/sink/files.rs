//! Sinks that write files.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::{ClipInfo, Frame, Layout, Sink};
use crate::error::{Error, MediaError};
use crate::media::{
    VideoOptions, VideoSummary, VideoWriter, YuvPlanes, check_place, frame_path,
    prepare_frame_folder, write_png, write_png_with,
};

/// Writes an MP4, which gets its name when it is whole; or to a stream, once it is.
pub struct Mp4Sink {
    path: PathBuf,
    options: VideoOptions,
    stream: Option<Box<dyn Write + Send>>,
    writer: Option<VideoWriter>,
    summary: Option<VideoSummary>,
}

impl Mp4Sink {
    /// Checks that such a video can be written; nothing is on the disk yet. The options of a job's
    /// clip are [`Job::video`](crate::Job::video)'s.
    ///
    /// # Errors
    /// As [`VideoWriter::create`].
    pub fn new(path: impl AsRef<Path>, options: VideoOptions) -> Result<Self, Error> {
        let path = path.as_ref();
        VideoWriter::create(path, options.clone())?;
        Ok(Self {
            path: path.to_owned(),
            options,
            stream: None,
            writer: None,
            summary: None,
        })
    }

    /// A video for a stream, which gets the whole file after the last frame. `name` is the stream's
    /// in messages.
    ///
    /// # Errors
    /// As [`VideoWriter::unnamed`].
    pub fn stream(
        name: impl Into<PathBuf>,
        options: VideoOptions,
        stream: Box<dyn Write + Send>,
    ) -> Result<Self, Error> {
        let path = name.into();
        VideoWriter::unnamed(&path, options.clone())?;
        Ok(Self {
            path,
            options,
            stream: Some(stream),
            writer: None,
            summary: None,
        })
    }

    /// What was written, once it is.
    pub fn summary(&self) -> Option<&VideoSummary> {
        self.summary.as_ref()
    }
}

impl Sink for Mp4Sink {
    fn layout(&self) -> Layout {
        Layout::Yuv420
    }

    fn begin(&mut self, _clip: &ClipInfo) -> Result<(), Error> {
        let options = self.options.clone();
        self.writer = Some(match self.stream {
            Some(_) => VideoWriter::unnamed(&self.path, options)?,
            None => VideoWriter::create(&self.path, options)?,
        });
        Ok(())
    }

    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), Error> {
        let Some(writer) = &mut self.writer else {
            return Ok(());
        };
        match frame.yuv420()? {
            Some((layout, bytes)) => {
                let [cb, cr, end] = layout.ends();
                writer.push_yuv420(YuvPlanes {
                    strides: [layout.luma_stride, layout.chroma_stride],
                    y: &bytes[..cb],
                    cb: &bytes[cb..cr],
                    cr: &bytes[cr..end],
                })?;
            }
            None => writer.push(&frame.rgb()?)?,
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Error> {
        if let Some(writer) = self.writer.take() {
            self.summary = Some(match &mut self.stream {
                Some(stream) => writer.finish_into(stream)?,
                None => writer.finish()?,
            });
        }
        Ok(())
    }

    fn abandon(&mut self) -> Option<Error> {
        self.writer = None;
        None
    }
}

/// Writes each frame as a PNG into a folder: `00000.png` and on.
#[derive(Clone, Debug)]
pub struct PngSink {
    folder: PathBuf,
    overwrite: bool,
}

impl PngSink {
    /// Frames into `folder`, which is made with the first.
    pub fn new(folder: impl Into<PathBuf>, overwrite: bool) -> Self {
        Self {
            folder: folder.into(),
            overwrite,
        }
    }
}

impl Sink for PngSink {
    fn begin(&mut self, _clip: &ClipInfo) -> Result<(), Error> {
        Ok(prepare_frame_folder(&self.folder, self.overwrite)?)
    }

    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), Error> {
        let side = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX);
        let path = frame_path(&self.folder, frame.index);
        let (width, height) = (side(frame.width), side(frame.height));
        Ok(write_png(
            &path,
            width,
            height,
            &frame.rgb()?,
            self.overwrite,
        )?)
    }
}

/// Writes a clip of one frame as a PNG, with what made it.
#[derive(Clone, Debug)]
pub struct StillSink {
    path: PathBuf,
    metadata: Vec<(String, String)>,
    overwrite: bool,
    size: Option<[usize; 2]>,
}

impl StillSink {
    /// A picture called `path`, with the metadata of these options.
    ///
    /// # Errors
    /// As [`check_place`].
    pub fn new(path: impl AsRef<Path>, options: VideoOptions) -> Result<Self, Error> {
        let path = path.as_ref();
        check_place(path, options.overwrite)?;
        Ok(Self {
            path: path.to_owned(),
            metadata: options.metadata,
            overwrite: options.overwrite,
            size: None,
        })
    }
}

impl Sink for StillSink {
    fn begin(&mut self, clip: &ClipInfo) -> Result<(), Error> {
        let (path, frames) = (self.path.clone(), clip.frames);
        match frames {
            1 => Ok(()),
            _ => Err(MediaError::Still { path, frames }.into()),
        }
    }

    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), Error> {
        let size = [frame.width, frame.height];
        write_png_with(
            &self.path,
            size,
            &frame.rgb()?,
            &self.metadata,
            self.overwrite,
        )?;
        self.size = Some(size);
        Ok(())
    }
}

/// Writes a clip as the kind of file that its name says: an MP4, or a PNG of its only frame.
pub enum ClipSink {
    /// `.mp4`, or a stream.
    Video(Box<Mp4Sink>),
    /// `.png`.
    Still(StillSink),
}

impl ClipSink {
    /// What was written, as a line for people, and where it is not as it was asked for; `None`
    /// before it is.
    pub fn told(&self) -> Option<(String, Option<String>)> {
        match self {
            Self::Video(video) => video.summary().map(|made| (made.to_string(), made.note())),
            Self::Still(still) => still.size.map(|[width, height]| {
                let line = format!("{}: {width}x{height}, a picture", still.path.display());
                (line, None)
            }),
        }
    }

    fn inner(&mut self) -> &mut dyn Sink {
        match self {
            Self::Video(video) => video.as_mut(),
            Self::Still(still) => still,
        }
    }
}

impl Sink for ClipSink {
    fn layout(&self) -> Layout {
        match self {
            Self::Video(video) => video.layout(),
            Self::Still(still) => still.layout(),
        }
    }

    fn begin(&mut self, clip: &ClipInfo) -> Result<(), Error> {
        self.inner().begin(clip)
    }

    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), Error> {
        self.inner().frame(frame)
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.inner().finish()
    }

    fn abandon(&mut self) -> Option<Error> {
        self.inner().abandon()
    }
}
