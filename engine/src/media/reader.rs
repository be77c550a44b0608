//! MP4 files read back: what they say, and their frames.
//!
//! Nothing a file says is believed before it is checked against the file's own length, so that a
//! damaged or hostile one costs an error and no memory.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use openh264::OpenH264API;
use openh264::decoder::{DecodedYUV, Decoder, DecoderConfig, Flush};
use openh264::formats::YUVSource;

use super::boxes::{Mp4Box, outermost, show};
use super::color::rgb_from_yuv;
use super::matrix::Conversion;
use super::png::{is_png, png_size, read_png_metadata};
use super::sample_table::{Sample, SampleTable};
use super::{FrameRate, Level, metadata, turn};
use crate::error::MediaError;

/// A table of contents for days of video; more is no video of ours.
const MAX_MOOV: u64 = 256 << 20;

/// What a video file says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoInfo {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Frames per second, on average.
    pub fps: FrameRate,
    /// Number of frames.
    pub frames: u64,
    /// How long it plays.
    pub duration: Duration,
    /// H.264's profile_idc; 100 is High.
    pub profile: u8,
    /// The H.264 level a player needs.
    pub level: Level,
    /// Numbers of the key frames, from 0.
    pub key_frames: Vec<u64>,
}

/// The keys and values in a video, or in a PNG, in their order; empty where it has none.
///
/// # Errors
/// [`MediaError::Read`], [`NotMp4`](MediaError::NotMp4), [`Truncated`](MediaError::Truncated) or
/// [`Corrupt`](MediaError::Corrupt).
pub fn read_metadata(path: &Path) -> Result<Vec<(String, String)>, MediaError> {
    if is_png(path) {
        return read_png_metadata(path);
    }
    let movie = Movie::open(path)?;
    metadata::read(&movie.moov).map_err(|problem| movie.corrupt(problem))
}

/// What a video file says about its first video track, without decoding it.
///
/// # Errors
/// As [`read_metadata`], and [`MediaError::Unsupported`] for a codec other than H.264.
pub fn probe(path: &Path) -> Result<VideoInfo, MediaError> {
    Ok(Movie::open(path)?.table()?.info)
}

/// What a video or a PNG is, in a line for people: size, frames, length.
///
/// # Errors
/// As [`probe`].
pub fn describe(path: &Path) -> Result<String, MediaError> {
    if is_png(path) {
        let [width, height] = png_size(path)?;
        return Ok(format!("{width}x{height}, a picture"));
    }
    let info = probe(path)?;
    Ok(format!(
        "{}x{}, {} frames at {}/s, {:.1} s, H.264 level {}",
        info.width,
        info.height,
        info.frames,
        info.fps,
        info.duration.as_secs_f64(),
        info.level,
    ))
}

/// How many quarters of a turn clockwise a video is shown, whose frames come as they are stored.
///
/// # Errors
/// As [`probe`], and [`MediaError::Unsupported`] for a video that is mirrored or turned by less.
pub fn quarter_turns(path: &Path) -> Result<u8, MediaError> {
    let movie = Movie::open(path)?;
    let mut tracks = movie.moov.children.iter().filter(|b| b.name == *b"trak");
    let is_video = |trak: &&Mp4Box| {
        let handler = trak.at(&[b"mdia", b"hdlr"]);
        handler.is_some_and(|hdlr| hdlr.fields.get(8..12) == Some(b"vide"))
    };
    let turns = tracks.find(is_video).map_or(Some(0), turn::quarter_turns);
    turns.ok_or_else(|| MediaError::Unsupported {
        path: path.to_owned(),
        found: "a picture that is mirrored or turned by no quarter".to_owned(),
    })
}

/// The frames of a video, in the order they are shown.
///
/// # Errors
/// As [`probe`]; each frame may fail on its own.
pub fn decode(path: &Path) -> Result<Frames, MediaError> {
    let movie = Movie::open(path)?;
    let table = movie.table()?;
    if table.sps.chroma_format != 1 || table.sps.bit_depth != 8 {
        return Err(MediaError::Unsupported {
            path: path.to_owned(),
            found: format!(
                "{}-bit H.264 of chroma format {}",
                table.sps.bit_depth, table.sps.chroma_format
            ),
        });
    }
    // Not flushed before the end: a stream of another encoder may show frames in another order than
    // it stores them, and the decoder has to hold some back.
    let config = DecoderConfig::new().flush_after_decode(Flush::NoFlush);
    let decoder = Decoder::with_api_config(OpenH264API::from_source(), config);
    let mut frames = Frames {
        path: movie.path,
        file: movie.file,
        decoder: decoder.map_err(|e| decoder_failed(path, 0, &e))?,
        samples: table.samples.into_iter(),
        length_size: table.length_size,
        conversion: table.conversion,
        next: 0,
        ready: VecDeque::new(),
        ended: false,
    };
    for set in table.parameter_sets {
        let annex_b = [&[0, 0, 0, 1], set.as_slice()].concat();
        frames
            .decoder
            .decode(&annex_b)
            .map_err(|e| decoder_failed(path, 0, &e))?;
    }
    Ok(frames)
}

/// One decoded frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// RGB, 8 bits, [height, width, 3].
    pub rgb: Vec<u8>,
}

/// The iterator of [`decode`]. Ends after the first error.
pub struct Frames {
    path: PathBuf,
    file: BufReader<File>,
    decoder: Decoder,
    samples: std::vec::IntoIter<Sample>,
    length_size: usize,
    conversion: Conversion,
    /// Number of the next sample.
    next: u64,
    /// Decoded, and not yet handed out.
    ready: VecDeque<Frame>,
    ended: bool,
}

impl Frames {
    /// Decodes the next sample, which may make no frame ready, or one.
    fn decode_next(&mut self, sample: Sample) -> Result<(), MediaError> {
        let Self { path, file, .. } = self;
        let number = self.next;
        self.next += 1;
        let mut bytes = vec![0; sample.size as usize];
        file.seek(SeekFrom::Start(sample.offset))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(|e| MediaError::reading(path, e))?;
        let annex_b = annex_b(&bytes, self.length_size).ok_or_else(|| MediaError::Corrupt {
            path: path.clone(),
            problem: format!("frame {number} has a NAL unit longer than the frame"),
        })?;
        let picture = self.decoder.decode(&annex_b);
        let picture = picture.map_err(|e| decoder_failed(path, number, &e))?;
        let conversion = self.conversion;
        let frame = picture
            .as_ref()
            .map(|picture| frame_of(picture, conversion));
        self.ready.extend(frame);
        Ok(())
    }

    /// Takes what the decoder held back at the end of the stream.
    fn drain(&mut self) -> Result<(), MediaError> {
        self.ended = true;
        let held = self.decoder.flush_remaining();
        let held = held.map_err(|e| decoder_failed(&self.path, self.next, &e))?;
        let conversion = self.conversion;
        let frames = held.iter().map(|picture| frame_of(picture, conversion));
        self.ready.extend(frames);
        Ok(())
    }
}

impl Iterator for Frames {
    type Item = Result<Frame, MediaError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() && !self.ended {
            let step = match self.samples.next() {
                Some(sample) => self.decode_next(sample),
                None => self.drain(),
            };
            if let Err(e) = step {
                self.ended = true;
                return Some(Err(e));
            }
        }
        self.ready.pop_front().map(Ok)
    }
}

fn frame_of(picture: &DecodedYUV<'_>, conversion: Conversion) -> Frame {
    let (width, height) = picture.dimensions();
    Frame {
        width: width as u32,
        height: height as u32,
        rgb: match conversion.is_ours() {
            true => rgb_from_yuv(picture),
            false => conversion.rgb(picture),
        },
    }
}

/// An opened file and its table of contents.
struct Movie {
    path: PathBuf,
    file: BufReader<File>,
    len: u64,
    moov: Mp4Box,
}

impl Movie {
    fn open(path: &Path) -> Result<Self, MediaError> {
        let reading = |e| MediaError::reading(path, e);
        let file = File::open(path).map_err(reading)?;
        let found = file.metadata().map_err(reading)?;
        if found.is_dir() {
            return Err(not_mp4(path, "it is a folder".to_owned()));
        }
        let len = found.len();
        let mut file = BufReader::new(file);
        let spans = outermost(&mut file, len).map_err(reading)?;
        match spans.first() {
            None => return Err(not_mp4(path, format!("it has {len} bytes"))),
            Some(first) if first.name != *b"ftyp" => {
                return Err(not_mp4(
                    path,
                    format!(
                        "it begins with {}, expected a box 'ftyp'",
                        show(&first.name)
                    ),
                ));
            }
            _ => {}
        }
        if let Some(cut) = spans.iter().find(|s| s.end > len) {
            return Err(MediaError::Truncated {
                path: path.to_owned(),
                problem: format!(
                    "its box {} ends at byte {}, the file at byte {len}",
                    show(&cut.name),
                    cut.end
                ),
            });
        }
        let Some(moov) = spans.iter().find(|s| s.name == *b"moov") else {
            return Err(MediaError::Truncated {
                path: path.to_owned(),
                problem: "it has no table of contents (a box 'moov')".to_owned(),
            });
        };
        if moov.end - moov.payload > MAX_MOOV {
            return Err(MediaError::Corrupt {
                path: path.to_owned(),
                problem: format!(
                    "its table of contents has {} bytes, expected a few",
                    moov.end - moov.start
                ),
            });
        }
        let mut bytes = vec![0; (moov.end - moov.payload) as usize];
        file.seek(SeekFrom::Start(moov.payload))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(reading)?;
        let children = Mp4Box::parse_all(&bytes).map_err(|problem| MediaError::Corrupt {
            path: path.to_owned(),
            problem,
        })?;
        Ok(Self {
            path: path.to_owned(),
            file,
            len,
            moov: Mp4Box {
                name: *b"moov",
                fields: Vec::new(),
                children,
            },
        })
    }

    fn table(&self) -> Result<SampleTable, MediaError> {
        SampleTable::read(&self.path, &self.moov, self.len)
    }

    fn corrupt(&self, problem: String) -> MediaError {
        MediaError::Corrupt {
            path: self.path.clone(),
            problem,
        }
    }
}

/// NAL units behind start codes out of NAL units behind their lengths.
fn annex_b(mut sample: &[u8], length_size: usize) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(sample.len() + 16);
    while !sample.is_empty() {
        let (length, rest) = sample.split_at_checked(length_size)?;
        let length = length
            .iter()
            .fold(0usize, |n, &byte| n << 8 | usize::from(byte));
        let (nal, rest) = rest.split_at_checked(length)?;
        out.extend_from_slice(&[0, 0, 0, 1]);
        out.extend_from_slice(nal);
        sample = rest;
    }
    Some(out)
}

fn not_mp4(path: &Path, found: String) -> MediaError {
    MediaError::NotMp4 {
        path: path.to_owned(),
        found,
    }
}

fn decoder_failed(path: &Path, frame: u64, problem: &dyn std::fmt::Display) -> MediaError {
    MediaError::Decoder {
        path: path.to_owned(),
        frame,
        problem: problem.to_string(),
    }
}
