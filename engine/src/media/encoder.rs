//! RGB frames to H.264 access units.
//!
//! openh264, High profile (CAVLC, 4×4 transform, in-loop deblocking), one reference frame, no B
//! frames: frames come out in the order they went in, one for one. The quantiser is constant, so a
//! quality means the same for every clip; the encoder honours a quantiser only under its bit-rate
//! control, hence a bit rate far above any need with equal bounds.

use openh264::OpenH264API;
use openh264::encoder::{
    BitRate, Complexity, EncodedBitStream, Encoder, EncoderConfig, FrameRate as EncoderRate,
    FrameType, IntraFramePeriod, Profile, QpRange, RateControlMode, UsageType, VuiConfig,
};

use openh264::formats::YUVSource;

use super::FrameRate;
use super::color::{Framed, Yuv420, YuvPlanes};
use crate::error::MediaError;

/// The encoder's own bounds: the longer side, the shorter side, and the least of both.
const LONG_SIDE: u32 = 3840;
const SHORT_SIDE: u32 = 2160;
const LEAST_SIDE: u32 = 16;

/// The default of [`VideoOptions::quality`](super::VideoOptions::quality).
///
/// Chosen on smooth gradients, where H.264 first shows banding and blocks: at 90 the means of 8×8
/// squares are off by 0.29 steps of luma (RMS), the least that 8-bit limited range allows being 0.26;
/// at 70, blocks show once contrast is raised fivefold.
pub const DEFAULT_QUALITY: u8 = 90;

/// H.264's quantiser for a quality of 0 to 100: 42 (rough) down to 12 (the encoder's own least),
/// linearly. Six steps of it halve the error and nearly double the file.
fn quantiser(quality: u8) -> u8 {
    (42.0 - 0.3 * f64::from(quality)).round() as u8
}

/// H.264's own bound.
const COARSEST: u8 = 51;

/// openh264's `ENCODER_OPTION_TRACE_LEVEL` and, for it, `WELS_LOG_QUIET` (codec_app_def.h).
const TRACE_LEVEL: std::os::raw::c_int = 25;
const QUIET: std::os::raw::c_int = 0;

/// One coded frame as MP4 stores it: each NAL unit after its length in four bytes.
pub(super) struct AccessUnit {
    pub(super) bytes: Vec<u8>,
    pub(super) key: bool,
}

/// The parameter sets of a stream, NAL headers included, no start codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ParameterSets {
    pub(super) sps: Vec<u8>,
    pub(super) pps: Vec<u8>,
}

pub(super) struct H264Encoder {
    coder: Coder,
    picture: Yuv420,
    width: u32,
    height: u32,
}

/// The encoder, and what it has come to.
struct Coder {
    encoder: Encoder,
    fps: FrameRate,
    qp: u8,
    frame: u64,
    sets: Option<ParameterSets>,
}

impl H264Encoder {
    /// An encoder for frames of `width` × `height` pixels.
    pub(super) fn new(
        width: u32,
        height: u32,
        fps: FrameRate,
        quality: u8,
    ) -> Result<Self, MediaError> {
        check_size(width, height)?;
        if quality > 100 {
            return Err(MediaError::Quality { found: quality });
        }
        let qp = quantiser(quality);
        Ok(Self {
            coder: Coder {
                encoder: open(fps, qp).map_err(|e| encoder_failed(0, &e))?,
                fps,
                qp,
                frame: 0,
                sets: None,
            },
            picture: Yuv420::new(width as usize, height as usize),
            width,
            height,
        })
    }

    /// Encodes the next frame, [height, width, 3] bytes.
    pub(super) fn encode(&mut self, rgb: &[u8]) -> Result<AccessUnit, MediaError> {
        let (width, height) = (self.width, self.height);
        let expected = width as usize * height as usize * 3;
        if rgb.len() != expected {
            return Err(self.wrong_length(rgb.len(), expected));
        }
        self.picture.fill(rgb, width as usize, height as usize);
        self.coder.encode(&self.picture)
    }

    /// Encodes the next frame from its planes, of sides rounded up to even.
    pub(super) fn encode_planes(
        &mut self,
        planes: YuvPlanes<'_>,
    ) -> Result<AccessUnit, MediaError> {
        let size = [self.width, self.height].map(|side| side.next_multiple_of(2) as usize);
        let picture = Framed(planes, size);
        if !picture.is_whole() {
            let found = planes.y.len() + planes.cb.len() + planes.cr.len();
            return Err(self.wrong_length(found, size[0] * size[1] * 3 / 2));
        }
        self.coder.encode(&picture)
    }

    fn wrong_length(&self, found: usize, expected: usize) -> MediaError {
        MediaError::FrameLength {
            frame: self.coder.frame,
            found,
            expected,
            width: self.width,
            height: self.height,
        }
    }

    /// The parameter sets; they come with the first frame.
    pub(super) fn parameter_sets(&self) -> Option<&ParameterSets> {
        self.coder.sets.as_ref()
    }
}

impl Coder {
    fn encode(&mut self, picture: &impl YUVSource) -> Result<AccessUnit, MediaError> {
        // A coded frame larger than its raw planes overflows the encoder's buffer and ends it. Only
        // noise at a fine quantiser is that large; the rest of such a clip is coded more coarsely.
        let coded = loop {
            match self.encoder.encode(picture) {
                Ok(stream) => break Coded::of(&stream),
                Err(e) if self.qp >= COARSEST => return Err(encoder_failed(self.frame, &e)),
                Err(_) => self.qp = (self.qp + 6).min(COARSEST),
            }
            self.encoder = open(self.fps, self.qp).map_err(|e| encoder_failed(self.frame, &e))?;
        };
        if coded.unit.bytes.is_empty() {
            return Err(encoder_failed(self.frame, &"it dropped the frame"));
        }
        // The container holds one pair for the whole track.
        if let Some(sets) = coded.sets
            && self.sets.get_or_insert_with(|| sets.clone()) != &sets
        {
            let problem = "it changed its parameter sets in the middle of the stream";
            return Err(encoder_failed(self.frame, &problem));
        }
        self.frame += 1;
        Ok(coded.unit)
    }
}

/// What the encoder made of one frame.
struct Coded {
    unit: AccessUnit,
    sets: Option<ParameterSets>,
}

impl Coded {
    fn of(stream: &EncodedBitStream<'_>) -> Self {
        let (mut sps, mut pps, mut bytes) = (None, None, Vec::new());
        for layer in (0..stream.num_layers()).filter_map(|i| stream.layer(i)) {
            for nal in (0..layer.nal_count()).filter_map(|i| layer.nal_unit(i)) {
                let nal = without_start_code(nal);
                match nal.first().map(|header| header & 0x1f) {
                    Some(7) => sps = Some(nal.to_vec()),
                    Some(8) => pps = Some(nal.to_vec()),
                    Some(1 | 5) => {
                        bytes.extend_from_slice(&(nal.len() as u32).to_be_bytes());
                        bytes.extend_from_slice(nal);
                    }
                    _ => {}
                }
            }
        }
        Self {
            unit: AccessUnit {
                bytes,
                key: stream.frame_type() == FrameType::IDR,
            },
            sets: sps.zip(pps).map(|(sps, pps)| ParameterSets { sps, pps }),
        }
    }
}

/// A fresh encoder of constant quantiser `qp`; it learns its size from the first frame.
fn open(fps: FrameRate, qp: u8) -> Result<Encoder, openh264::Error> {
    let config = EncoderConfig::new()
        .profile(Profile::High)
        .vui(VuiConfig::bt709())
        .usage_type(UsageType::CameraVideoRealTime)
        .complexity(Complexity::High)
        .rate_control_mode(RateControlMode::Bitrate)
        .bitrate(BitRate::from_bps(240_000_000))
        .qp(QpRange::new(qp, qp))
        .max_frame_rate(EncoderRate::from_hz(fps.hz().clamp(1.0, 60.0) as f32))
        .intra_frame_period(IntraFramePeriod::from_num_frames(key_frame_distance(fps)))
        // Every frame is kept, and key frames stand where seeking expects them, not at cuts.
        .skip_frames(false)
        .scene_change_detect(false)
        .adaptive_quantization(false)
        .background_detection(false)
        // One slice a frame leaves nothing to share out.
        .num_threads(1);
    let mut encoder = Encoder::with_api_config(OpenH264API::from_source(), config)?;
    silence(&mut encoder);
    Ok(encoder)
}

/// Keeps openh264 from writing to stderr. The crate does so itself, but after the encoder has
/// complained that a bit rate is not guaranteed without dropping frames, which is what is wanted.
fn silence(encoder: &mut Encoder) {
    let mut level = QUIET;
    #[expect(
        unsafe_code,
        reason = "the only way to an option that has to be set before the first frame"
    )]
    // SAFETY: the encoder exists, the option takes a pointer to an int and copies it before it
    // returns, and it is one of the three that openh264 allows before initialisation.
    let _ = unsafe {
        encoder
            .raw_api()
            .set_option(TRACE_LEVEL, (&raw mut level).cast())
    };
}

/// Refuses sizes beyond the encoder's.
pub(super) fn check_size(width: u32, height: u32) -> Result<(), MediaError> {
    let (long, short) = (width.max(height), width.min(height));
    if short < LEAST_SIDE || long > LONG_SIDE || short > SHORT_SIDE {
        return Err(MediaError::FrameSize { width, height });
    }
    Ok(())
}

/// Frames from one key frame to the next: a second's worth.
fn key_frame_distance(fps: FrameRate) -> u32 {
    (fps.hz().round() as u32).max(1)
}

fn encoder_failed(frame: u64, problem: &dyn std::fmt::Display) -> MediaError {
    MediaError::Encoder {
        frame,
        problem: problem.to_string(),
    }
}

fn without_start_code(nal: &[u8]) -> &[u8] {
    nal.strip_prefix(&[0, 0, 0, 1])
        .or_else(|| nal.strip_prefix(&[0, 0, 1]))
        .unwrap_or(nal)
}
