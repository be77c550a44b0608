//! H.264 levels: what a decoder must be able to do to play a stream.
//!
//! A hardware decoder may refuse a stream by its level alone, so the lowest one that holds the
//! stream is written. Source: ITU-T H.264, table A-1 and clause A.3.

use std::fmt;

use super::FrameRate;

/// A level as the stream carries it: ten times its number, so that 31 is level 3.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(pub u8);

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 / 10, self.0 % 10)
    }
}

/// One row of table A-1.
#[derive(Debug, Clone, Copy)]
struct Limits {
    level: Level,
    /// Macroblocks per second.
    mbps: u32,
    /// Macroblocks per frame.
    frame: u32,
    /// Macroblocks in the decoded picture buffer.
    dpb: u32,
    /// Bit rate in units of 1250 bit/s (High profile).
    rate: u32,
    /// Coded picture buffer in units of 1250 bits (High profile).
    cpb: u32,
}

const fn row(level: u8, mbps: u32, frame: u32, dpb: u32, rate: u32, cpb: u32) -> Limits {
    Limits {
        level: Level(level),
        mbps,
        frame,
        dpb,
        rate,
        cpb,
    }
}

/// Levels 1 and 1b are left out: they hold vertical motion to ±64 rows, the encoder searches to ±80.
const LIMITS: [Limits; 18] = [
    row(11, 3_000, 396, 900, 192, 500),
    row(12, 6_000, 396, 2_376, 384, 1_000),
    row(13, 11_880, 396, 2_376, 768, 2_000),
    row(20, 11_880, 396, 2_376, 2_000, 2_000),
    row(21, 19_800, 792, 4_752, 4_000, 4_000),
    row(22, 20_250, 1_620, 8_100, 4_000, 4_000),
    row(30, 40_500, 1_620, 8_100, 10_000, 10_000),
    row(31, 108_000, 3_600, 18_000, 14_000, 14_000),
    row(32, 216_000, 5_120, 20_480, 20_000, 20_000),
    row(40, 245_760, 8_192, 32_768, 20_000, 25_000),
    row(41, 245_760, 8_192, 32_768, 50_000, 62_500),
    row(42, 522_240, 8_704, 34_816, 50_000, 62_500),
    row(50, 589_824, 22_080, 110_400, 135_000, 135_000),
    row(51, 983_040, 36_864, 184_320, 240_000, 240_000),
    row(52, 2_073_600, 36_864, 184_320, 240_000, 240_000),
    row(60, 4_177_920, 139_264, 696_320, 240_000, 240_000),
    row(61, 8_355_840, 139_264, 696_320, 480_000, 480_000),
    row(62, 16_711_680, 139_264, 696_320, 800_000, 800_000),
];

/// Finds the lowest level of a stream while its frames go by.
///
/// For each level a leaky bucket is kept: frames pour in, the level's bit rate runs out. The level
/// holds the stream as long as its bucket (the coded picture buffer) does not overflow. The state
/// does not grow with the number of frames.
#[derive(Debug)]
pub(super) struct LevelMeter {
    frame_seconds: f64,
    candidates: Vec<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    limits: Limits,
    bits: f64,
}

impl LevelMeter {
    /// Meters frames of `width` × `height` pixels; the decoder keeps `reference_frames` of them.
    pub(super) fn new(width: u32, height: u32, fps: FrameRate, reference_frames: u32) -> Self {
        let (columns, rows) = (width.div_ceil(16), height.div_ceil(16));
        let frame = columns * rows;
        let holds_size = |l: &Limits| {
            // A.3.1: neither side longer than √(8 · MaxFS), so that no frame is a mere strip.
            let longest = columns.max(rows);
            frame <= l.frame
                && longest * longest <= 8 * l.frame
                && f64::from(frame) * fps.hz() <= f64::from(l.mbps)
                && frame * reference_frames.max(1) <= l.dpb
        };
        Self {
            frame_seconds: 1.0 / fps.hz(),
            candidates: LIMITS
                .iter()
                .filter(|l| holds_size(l))
                .map(|&limits| Bucket { limits, bits: 0.0 })
                .collect(),
        }
    }

    /// Counts one coded frame of `bytes` bytes.
    pub(super) fn push(&mut self, bytes: usize) {
        let frame_bits = bytes as f64 * 8.0;
        let seconds = self.frame_seconds;
        self.candidates.retain_mut(|bucket| {
            bucket.bits = (bucket.bits - f64::from(bucket.limits.rate) * 1250.0 * seconds).max(0.0)
                + frame_bits;
            bucket.bits <= f64::from(bucket.limits.cpb) * 1250.0
        });
    }

    /// The lowest level that holds everything pushed; the highest there is where none does.
    pub(super) fn level(&self) -> Level {
        self.candidates
            .first()
            .map_or(LIMITS[LIMITS.len() - 1].level, |bucket| bucket.limits.level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(width: u32, height: u32, fps: u32, bytes: usize) -> u8 {
        let fps = FrameRate::new(fps, 1).unwrap();
        let mut meter = LevelMeter::new(width, height, fps, 1);
        for _ in 0..200 {
            meter.push(bytes);
        }
        meter.level().0
    }

    #[test]
    fn size_and_rate_choose_the_level() {
        // Sizes and rates of the examples that table A-6 of H.264 gives for each level.
        for (width, height, fps, expected) in [
            (176, 144, 30, 11),
            (352, 288, 15, 12),
            (352, 288, 30, 13),
            (352, 576, 25, 21),
            (720, 576, 12, 22),
            (720, 576, 25, 30),
            (832, 480, 16, 30),
            (832, 480, 30, 31),
            (1280, 720, 30, 31),
            (720, 1280, 30, 31),
            (1280, 720, 60, 32),
            (1920, 1080, 30, 40),
            (1920, 1080, 60, 42),
            (3840, 2160, 16, 51),
            (3840, 2160, 60, 52),
            (3840, 2160, 120, 60),
        ] {
            assert_eq!(
                level(width, height, fps, 10),
                expected,
                "{width}x{height} at {fps}"
            );
        }
    }

    #[test]
    fn bits_raise_the_level() {
        // 10 frames a second: bytes × 80 bit/s against 1250 × the table's rate.
        assert_eq!(level(160, 96, 10, 3_000), 11); // 240 kbit/s fill level 1.1 exactly
        assert_eq!(level(160, 96, 10, 5_000), 12); // above it the bucket overflows in time
        assert_eq!(level(160, 96, 10, 31_250), 20);
        assert_eq!(level(160, 96, 10, 218_750), 31);
        assert_eq!(level(160, 96, 10, 100_000_000), 62);
    }

    #[test]
    fn one_burst_may_fill_the_buffer_only() {
        let fps = FrameRate::new(25, 1).unwrap();
        let mut meter = LevelMeter::new(352, 288, fps, 1);
        assert_eq!(meter.level(), Level(13));
        meter.push(2_000 * 1250 / 8);
        assert_eq!(meter.level(), Level(13));
        meter.push(2_000 * 1250 / 8);
        assert!(meter.level() > Level(13));
    }
}
