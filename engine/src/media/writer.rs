//! Frames in, a finished MP4 out.

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::color::YuvPlanes;
use super::encoder::{AccessUnit, DEFAULT_QUALITY, H264Encoder, check_size};
use super::level::{Level, LevelMeter};
use super::movie::VideoTrack;
use super::mux::{Muxer, Sample};
use super::output::{Staged, check_output};
use super::sps::Sps;
use super::{FrameRate, metadata};
use crate::error::MediaError;

/// What a video should be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoOptions {
    /// Width of the frames in pixels, 16 to 3840.
    pub width: u32,
    /// Height of the frames in pixels, 16 to 2160 (or 3840 where the width is at most 2160).
    pub height: u32,
    /// Frames per second, constant.
    pub fps: FrameRate,
    /// 0 (smallest file) to 100 (best picture); [`DEFAULT_QUALITY`] is visually lossless.
    pub quality: u8,
    /// Keys and values to keep in the file, in this order; any text without zero characters.
    pub metadata: Vec<(String, String)>,
    /// Whether an existing file may be replaced.
    pub overwrite: bool,
}

impl VideoOptions {
    /// As [`new`](Self::new), for a rate as people write it.
    ///
    /// # Errors
    /// A rate that no MP4 can have.
    pub fn sized([width, height]: [usize; 2], fps: f64) -> Result<Self, MediaError> {
        // A side that does not fit 32 bits is refused as the largest is.
        let [width, height] = [width, height].map(|side| u32::try_from(side).unwrap_or(u32::MAX));
        Ok(Self::new(width, height, FrameRate::from_hz(fps)?))
    }

    /// Options for frames of this size and rate: default quality, no metadata, no overwriting.
    pub fn new(width: u32, height: u32, fps: FrameRate) -> Self {
        Self {
            width,
            height,
            fps,
            quality: DEFAULT_QUALITY,
            metadata: Vec::new(),
            overwrite: false,
        }
    }
}

/// Writes frames to an MP4 as they come: H.264 High, 4:2:0, BT.709, a key frame a second.
///
/// Until [`finish`](Self::finish) nothing bears the final name; dropping the writer, or the end of
/// the process by whatever cause, leaves nothing behind. Memory does not grow with the frames.
///
/// ```no_run
/// use kinora::media::{FrameRate, VideoOptions, VideoWriter};
///
/// let options = VideoOptions::new(832, 480, FrameRate::new(16, 1)?);
/// let mut video = VideoWriter::create("kite.mp4".as_ref(), options)?;
/// for _ in 0..81 {
///     video.push(&vec![128; 832 * 480 * 3])?;
/// }
/// println!("{}", video.finish()?);
/// # Ok::<(), kinora::error::MediaError>(())
/// ```
pub struct VideoWriter {
    path: PathBuf,
    options: VideoOptions,
    encoder: H264Encoder,
    /// From the first frame on: both need the stream's parameter sets.
    stream: Option<Stream>,
    frames: u64,
}

impl VideoWriter {
    /// Begins a video that will be called `path`. Everything that can be refused is refused here.
    ///
    /// # Errors
    /// What [`check_output`] finds; [`MediaError::FrameSize`], [`MediaError::Quality`] or
    /// [`MediaError::Metadata`] for options out of range.
    pub fn create(path: &Path, options: VideoOptions) -> Result<Self, MediaError> {
        check_size(options.width, options.height)?;
        metadata::check(&options.metadata)?;
        check_output(path, options.overwrite)?;
        Self::unnamed(path, options)
    }

    /// Begins a video for [`finish_into`](Self::finish_into), which messages call `path`.
    ///
    /// # Errors
    /// As [`create`](Self::create), save for what is wrong with the name.
    pub fn unnamed(path: &Path, options: VideoOptions) -> Result<Self, MediaError> {
        check_size(options.width, options.height)?;
        metadata::check(&options.metadata)?;
        let encoder =
            H264Encoder::new(options.width, options.height, options.fps, options.quality)?;
        Ok(Self {
            path: path.to_owned(),
            options,
            encoder,
            stream: None,
            frames: 0,
        })
    }

    /// The size the video will have: the frames' own, each side rounded up to even.
    pub fn coded_size(&self) -> (u32, u32) {
        coded_size(&self.options)
    }

    /// Appends a frame: RGB, 8 bits, [height, width, 3], rows without gaps.
    ///
    /// # Errors
    /// [`MediaError::FrameLength`] for a frame of another size; [`MediaError::Encoder`],
    /// [`MediaError::DiskFull`] or [`MediaError::Write`] where the work cannot go on.
    pub fn push(&mut self, rgb: &[u8]) -> Result<(), MediaError> {
        let unit = self.encoder.encode(rgb)?;
        self.append(&unit)
    }

    /// Appends a frame in planes of YUV 4:2:0, BT.709 in limited range, each side rounded up to even.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn push_yuv420(&mut self, planes: YuvPlanes<'_>) -> Result<(), MediaError> {
        let unit = self.encoder.encode_planes(planes)?;
        self.append(&unit)
    }

    fn append(&mut self, unit: &AccessUnit) -> Result<(), MediaError> {
        if self.stream.is_none() {
            self.stream = Some(self.begin()?);
        }
        if let Some(stream) = &mut self.stream {
            stream.meter.push(unit.bytes.len());
            let sample = Sample {
                bytes: &unit.bytes,
                duration: stream.frame_units,
                key: unit.key,
            };
            stream.muxer.push(stream.track, &sample)?;
        }
        self.frames += 1;
        Ok(())
    }

    /// Completes the file and gives it its name.
    ///
    /// # Errors
    /// [`MediaError::NoFrames`] where nothing was pushed; [`MediaError::Exists`] where the name was
    /// taken meanwhile; [`MediaError::DiskFull`] or [`MediaError::Write`]. None leaves a file.
    pub fn finish(self) -> Result<VideoSummary, MediaError> {
        let (path, overwrite) = (self.path.clone(), self.options.overwrite);
        if self.frames == 0 {
            return Err(MediaError::NoFrames { path });
        }
        crate::staged::sweep(&path);
        let mut staged = Staged::create(&path, overwrite)?;
        let summary = self.finish_into(staged.file())?;
        staged.sync()?;
        staged.commit()?;
        Ok(summary)
    }

    /// Writes the whole file to a stream, which need not seek.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub fn finish_into(self, out: &mut impl Write) -> Result<VideoSummary, MediaError> {
        let (width, height) = self.coded_size();
        let Self {
            path,
            options,
            stream,
            frames,
            ..
        } = self;
        let Some(Stream {
            mut muxer,
            meter,
            track,
            ..
        }) = stream
        else {
            return Err(MediaError::NoFrames { path });
        };
        muxer.video(track).level = meter.level();
        let bytes = muxer.finish(out, &options.metadata)?;
        Ok(VideoSummary {
            path,
            width,
            height,
            asked: (options.width, options.height),
            frames,
            fps: options.fps,
            bytes,
            level: meter.level(),
        })
    }

    fn begin(&self) -> Result<Stream, MediaError> {
        let sets = self.encoder.parameter_sets();
        let (Some(sets), Some(sps)) = (sets, sets.and_then(|s| Sps::parse(&s.sps))) else {
            return Err(MediaError::Encoder {
                frame: 0,
                problem: "it gave no parameter sets with the first frame".to_owned(),
            });
        };
        let (width, height) = self.coded_size();
        let fps = self.options.fps;
        let meter = LevelMeter::new(width, height, fps, sps.reference_frames);
        // A frame is a whole number of time units; fine units, because some players round times
        // to the movie's scale.
        let factor = 10_000_u32.div_ceil(fps.numerator());
        let mut muxer = Muxer::new(&self.path);
        let video = VideoTrack {
            width: width as u16,
            height: height as u16,
            sps: sets.sps.clone(),
            pps: sets.pps.clone(),
            level: meter.level(),
        };
        Ok(Stream {
            track: muxer.add_video(fps.numerator() * factor, video),
            frame_units: fps.denominator() * factor,
            muxer,
            meter,
        })
    }
}

/// What the coded frames go into.
struct Stream {
    muxer: Muxer,
    /// The number of the muxer's track.
    track: usize,
    /// Time units a frame lasts.
    frame_units: u32,
    meter: LevelMeter,
}

fn coded_size(options: &VideoOptions) -> (u32, u32) {
    (
        options.width.next_multiple_of(2),
        options.height.next_multiple_of(2),
    )
}

/// What was written. Its `Display` is a line for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoSummary {
    /// The finished file.
    pub path: PathBuf,
    /// Width of the video in pixels, even.
    pub width: u32,
    /// Height of the video in pixels, even.
    pub height: u32,
    /// Width and height of the frames that were pushed.
    pub asked: (u32, u32),
    /// Number of frames.
    pub frames: u64,
    /// Frames per second.
    pub fps: FrameRate,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// The H.264 level a player needs.
    pub level: Level,
}

impl VideoSummary {
    /// How long the video plays.
    pub fn duration(&self) -> Duration {
        self.fps.duration(self.frames)
    }

    /// A sentence for the user where the video is not exactly as asked: an odd side was made even.
    pub fn note(&self) -> Option<String> {
        let (width, height) = self.asked;
        let repeated = match (self.width != width, self.height != height) {
            (false, false) => return None,
            (true, false) => "last column was",
            (false, true) => "last row was",
            (true, true) => "last column and row were",
        };
        Some(format!(
            "the video is {}x{}: H.264 stores even sizes, so the {repeated} repeated once ({width}x{height} was asked for)",
            self.width, self.height
        ))
    }
}

impl fmt::Display for VideoSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            width,
            height,
            frames,
            fps,
            bytes,
            ..
        } = self;
        write!(
            f,
            "{}: {width}x{height}, {frames} frame{} at {fps}/s, {:.1} s, {:.1} MB",
            path.display(),
            if *frames == 1 { "" } else { "s" },
            self.duration().as_secs_f64(),
            *bytes as f64 / 1e6
        )
    }
}
