//! Where frames go: an MP4, pictures in a folder, memory, or whatever an application makes of them.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use crate::error::Error;
use crate::media::{
    VideoOptions, VideoSummary, VideoWriter, frame_path, prepare_frame_folder, write_png,
};
use crate::pipeline::Picture;

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
    Host(&'f [u8]),
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

    fn of_host(index: usize, info: &ClipInfo, rgb: &'f [u8]) -> Self {
        Self {
            index,
            width: info.width,
            height: info.height,
            source: Source::Host(rgb),
        }
    }

    /// 8-bit RGB, [height, width, 3], rows without gaps; read back from the device if it lies there.
    ///
    /// # Errors
    /// The device failed.
    pub fn rgb(&self) -> Result<Cow<'f, [u8]>, Error> {
        match &self.source {
            Source::Decoder(picture) => picture.rgb(),
            Source::Host(rgb) => Ok(Cow::Borrowed(rgb)),
        }
    }

    /// The frame on the device: for textures and planes. `None` behind an [`OnThread`], which takes
    /// frames to the host.
    pub fn picture(&self) -> Option<&Picture<'f>> {
        match &self.source {
            Source::Decoder(picture) => Some(picture),
            Source::Host(_) => None,
        }
    }
}

/// Takes the frames of a clip, in order. A closure that takes a [`Frame`] is a sink.
pub trait Sink {
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

/// Writes an MP4, which gets its name when it is whole.
pub struct Mp4Sink {
    path: PathBuf,
    options: VideoOptions,
    writer: Option<VideoWriter>,
    summary: Option<VideoSummary>,
}

impl Mp4Sink {
    /// Checks that such a video can be written; nothing is on the disk yet. The options of a job's
    /// clip are [`Job::video`](super::Job::video)'s.
    ///
    /// # Errors
    /// As [`VideoWriter::create`].
    pub fn new(path: impl AsRef<Path>, options: VideoOptions) -> Result<Self, Error> {
        let path = path.as_ref();
        VideoWriter::create(path, options.clone())?;
        Ok(Self {
            path: path.to_owned(),
            options,
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
    fn begin(&mut self, _clip: &ClipInfo) -> Result<(), Error> {
        self.writer = Some(VideoWriter::create(&self.path, self.options.clone())?);
        Ok(())
    }

    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), Error> {
        match &mut self.writer {
            Some(writer) => Ok(writer.push(&frame.rgb()?)?),
            None => Ok(()),
        }
    }

    fn finish(&mut self) -> Result<(), Error> {
        if let Some(writer) = self.writer.take() {
            self.summary = Some(writer.finish()?);
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

/// Two sinks, one after the other for each frame; the second may be left out.
#[derive(Clone, Debug)]
pub struct Both<A, B>(pub A, pub Option<B>);

impl<A: Sink, B: Sink> Sink for Both<A, B> {
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

/// The most decoded frames that may wait for the sink.
const AHEAD: usize = 4;

/// A sink on a thread of its own: the device goes on while the host encodes.
pub struct OnThread<S> {
    sink: Option<S>,
    running: Option<Running<S>>,
}

struct Running<S> {
    clip: ClipInfo,
    frames: SyncSender<(usize, Vec<u8>)>,
    thread: JoinHandle<(S, Result<(), Error>)>,
}

impl<S: Sink + Send + 'static> OnThread<S> {
    /// The same sink, off the caller's thread.
    pub fn new(sink: S) -> Self {
        Self {
            sink: Some(sink),
            running: None,
        }
    }

    /// The sink, between two clips.
    pub fn get(&self) -> Option<&S> {
        self.sink.as_ref()
    }

    /// Waits until the sink has taken every frame that was sent, and returns its result.
    fn join(&mut self) -> Result<(), Error> {
        let Some(Running { frames, thread, .. }) = self.running.take() else {
            return Ok(());
        };
        drop(frames);
        match thread.join() {
            Ok((sink, ended)) => {
                self.sink = Some(sink);
                ended
            }
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn take_all<S: Sink>(
    mut sink: S,
    clip: &ClipInfo,
    frames: Receiver<(usize, Vec<u8>)>,
) -> (S, Result<(), Error>) {
    let mut ended = Ok(());
    for (index, rgb) in &frames {
        ended = sink.frame(&Frame::of_host(index, clip, &rgb));
        if ended.is_err() {
            break;
        }
    }
    (sink, ended)
}

impl<S: Sink + Send + 'static> Sink for OnThread<S> {
    fn begin(&mut self, clip: &ClipInfo) -> Result<(), Error> {
        let Some(mut sink) = self.sink.take() else {
            return Ok(());
        };
        if let Err(error) = sink.begin(clip) {
            self.sink = Some(sink);
            return Err(error);
        }
        let clip = *clip;
        let (frames, coming) = sync_channel(AHEAD);
        let thread = std::thread::spawn(move || take_all(sink, &clip, coming));
        self.running = Some(Running {
            clip,
            frames,
            thread,
        });
        Ok(())
    }

    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), Error> {
        let Some(running) = &self.running else {
            return Ok(());
        };
        debug_assert_eq!(
            [running.clip.width, running.clip.height],
            [frame.width, frame.height]
        );
        if running
            .frames
            .send((frame.index, frame.rgb()?.into_owned()))
            .is_ok()
        {
            return Ok(());
        }
        // The thread stopped because the sink failed; `join` returns that error.
        self.join()
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.join()?;
        self.sink.as_mut().map_or(Ok(()), Sink::finish)
    }

    fn abandon(&mut self) -> Option<Error> {
        let ended = self.join().err();
        let sink = self.sink.as_mut().and_then(Sink::abandon);
        ended.or(sink)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    const CLIP: ClipInfo = ClipInfo {
        width: 1,
        height: 1,
        frames: 9,
    };

    type Taken = Arc<Mutex<Vec<usize>>>;

    /// Takes frames until one of this number.
    fn until(full: usize) -> (Taken, impl Sink + Send + 'static) {
        let taken = Taken::default();
        let own = taken.clone();
        let sink = move |frame: &Frame<'_>| {
            if frame.index == full {
                return Err(Error::Cancelled);
            }
            own.lock().unwrap().push(frame.index);
            Ok(())
        };
        (taken, sink)
    }

    #[test]
    fn a_thread_takes_frames_in_order() {
        let (taken, sink) = until(99);
        let mut sink = OnThread::new(sink);
        sink.begin(&CLIP).unwrap();
        for index in 0..9 {
            sink.frame(&Frame::of_host(index, &CLIP, &[1, 2, 3]))
                .unwrap();
        }
        sink.finish().unwrap();
        assert_eq!(*taken.lock().unwrap(), (0..9).collect::<Vec<_>>());
    }

    #[test]
    fn a_thread_that_fails_gives_its_reason_once() {
        for frames in [4, 40] {
            let (_, sink) = until(3);
            let mut sink = OnThread::new(sink);
            sink.begin(&CLIP).unwrap();
            let sent: Result<(), Error> = (0..frames)
                .try_for_each(|index| sink.frame(&Frame::of_host(index, &CLIP, &[1, 2, 3])));
            let ended = sent.and_then(|()| sink.finish());
            assert!(matches!(ended, Err(Error::Cancelled)), "{frames}");
            assert!(sink.abandon().is_none());
        }
    }
}
