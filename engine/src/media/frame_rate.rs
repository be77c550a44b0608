//! How many frames a second, exactly.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::error::MediaError;

/// A constant frame rate as a reduced fraction of frames per second: 16 is 16/1, 23.976 is
/// 24000/1001. A fraction, because the NTSC rates have no exact decimal and a clip must not drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FrameRate {
    numerator: u32,
    denominator: u32,
}

/// Faster than any display; beyond it a number is a typing error.
const MAX_HZ: u32 = 240;
/// Keeps every product with a time scale inside 32 bits.
const MAX_TERM: u32 = 1_000_000;

impl FrameRate {
    /// `numerator / denominator` frames per second.
    ///
    /// # Errors
    /// [`MediaError::FrameRate`] unless 0 < rate ≤ 240 and both terms are at most 1,000,000.
    pub fn new(numerator: u32, denominator: u32) -> Result<Self, MediaError> {
        let refused = || MediaError::FrameRate {
            found: format!("{numerator}/{denominator}"),
        };
        if numerator == 0 || denominator == 0 {
            return Err(refused());
        }
        let divisor = gcd(numerator, denominator);
        let (numerator, denominator) = (numerator / divisor, denominator / divisor);
        if numerator > MAX_TERM
            || denominator > MAX_TERM
            || numerator.div_ceil(denominator) > MAX_HZ
        {
            return Err(refused());
        }
        Ok(Self {
            numerator,
            denominator,
        })
    }

    /// The rate a person means by a decimal: whole numbers are exact, 23.976, 29.97, 59.94 and
    /// their like are the NTSC rates n·1000/1001, a quotient of whole numbers with a divisor of at
    /// most 1001 is that quotient, anything else is taken to three decimals.
    ///
    /// # Errors
    /// [`MediaError::FrameRate`] unless 0 < hz ≤ 240.
    pub fn from_hz(hz: f64) -> Result<Self, MediaError> {
        let refused = || MediaError::FrameRate {
            found: hz.to_string(),
        };
        if !(hz >= 0.001 && hz <= f64::from(MAX_HZ)) {
            return Err(refused());
        }
        let whole = (hz * 1.001).round();
        let ntsc = whole * 1000.0 / 1001.0;
        // 23.976 and 23.98 are both written for 24000/1001; 24 itself is 0.024 away.
        if hz.fract() != 0.0 && (hz - ntsc).abs() < 0.005 {
            return Self::new(whole as u32 * 1000, 1001);
        }
        for denominator in 1..=1001 {
            let numerator = (hz * f64::from(denominator)).round();
            if numerator / f64::from(denominator) == hz {
                return Self::new(numerator as u32, denominator).map_err(|_| refused());
            }
        }
        Self::new((hz * 1000.0).round() as u32, 1000).map_err(|_| refused())
    }

    /// Frames in `denominator` seconds.
    pub fn numerator(self) -> u32 {
        self.numerator
    }

    /// Seconds in which `numerator` frames are shown.
    pub fn denominator(self) -> u32 {
        self.denominator
    }

    /// Frames per second.
    pub fn hz(self) -> f64 {
        f64::from(self.numerator) / f64::from(self.denominator)
    }

    /// How long `frames` frames last.
    pub fn duration(self, frames: u64) -> Duration {
        let nanos = u128::from(frames) * u128::from(self.denominator) * 1_000_000_000
            / u128::from(self.numerator);
        Duration::new(
            u64::try_from(nanos / 1_000_000_000).unwrap_or(u64::MAX),
            (nanos % 1_000_000_000) as u32,
        )
    }
}

/// `24`, `23.976` or `24000/1001`.
impl FromStr for FrameRate {
    type Err = MediaError;

    fn from_str(text: &str) -> Result<Self, MediaError> {
        let refused = |_| MediaError::FrameRate {
            found: text.to_owned(),
        };
        match text.split_once('/') {
            Some((n, d)) => {
                let parse = |s: &str| s.trim().parse::<u32>().map_err(|_| ());
                Self::new(parse(n).map_err(refused)?, parse(d).map_err(refused)?)
            }
            None => Self::from_hz(text.trim().parse().map_err(|_| ()).map_err(refused)?),
        }
    }
}

/// The decimal a person would write: `16`, `23.976`, `12.5`.
impl fmt::Display for FrameRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:.3}", self.hz());
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// Greatest common divisor; `gcd(n, 0)` is n.
pub(super) fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
