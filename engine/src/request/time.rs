//! Times and rates as people read them.

use std::fmt::{self, Display};
use std::time::Duration;

use crate::media::FrameRate;

/// Frames a second from text: `24`, `23.976`, `30000/1001`; `None` where it is neither a number nor a
/// fraction. Whether a run may have the rate is for its settings to say.
pub fn fps_of(text: &str) -> Option<f64> {
    match text.trim().parse() {
        Ok(fps) => Some(fps),
        Err(_) => Some(text.parse::<FrameRate>().ok()?.hz()),
    }
}

/// Frames a second as text that [`fps_of`] reads: a fraction where three decimals do not hold it.
pub fn fps_text(fps: f64) -> String {
    let decimals = fps * 1000.0;
    match FrameRate::from_hz(fps) {
        Ok(rate) if (decimals - decimals.round()).abs() > 1e-6 && rate.hz() == fps => {
            format!("{}/{}", rate.numerator(), rate.denominator())
        }
        _ => fps.to_string(),
    }
}

/// `2.5 a second`, or the seconds that one takes.
pub struct Rate(pub f64);

impl Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            rate if rate >= 1.0 => write!(f, "{rate:.1} a second"),
            rate if rate > 0.0 => write!(f, "{:.1} s each", 1.0 / rate),
            _ => f.write_str("…"),
        }
    }
}

/// `12.3 s`, `4 min 5 s`, `2 h 4 min`.
pub struct Seconds(pub Duration);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        match self.0.as_secs() {
            _ if seconds < 60.0 => write!(f, "{seconds:.1} s"),
            whole if whole < 3600 => write!(f, "{} min {} s", whole / 60, whole % 60),
            whole => write!(f, "{} h {} min", whole / 3600, whole / 60 % 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_may_be_fractions_and_stay_exact() {
        for (typed, shown, terms) in [
            ("30000/1001", "30000/1001", (30_000, 1001)),
            ("25/3", "25/3", (25, 3)),
            ("23.976", "23.976", (24_000, 1001)),
            ("24", "24", (24, 1)),
            ("12.5", "12.5", (25, 2)),
        ] {
            let fps = fps_of(typed).expect(typed);
            let rate = FrameRate::from_hz(fps).expect(typed);
            assert_eq!((rate.numerator(), rate.denominator()), terms, "{typed}");
            assert_eq!(fps_text(fps), shown, "{typed}");
            assert_eq!(fps_of(shown), Some(fps), "{typed}");
        }
        assert_eq!(fps_of("24/0"), None);
        assert_eq!(fps_of("fast"), None);
    }

    #[test]
    fn times_and_rates_read_well() {
        let text = |s| Seconds(Duration::from_secs_f64(s)).to_string();
        assert_eq!(
            [text(0.04), text(59.9), text(245.0), text(7_500.0)],
            ["0.0 s", "59.9 s", "4 min 5 s", "2 h 5 min"]
        );
        assert_eq!(
            [Rate(3.0).to_string(), Rate(0.25).to_string()],
            ["3.0 a second", "4.0 s each"]
        );
    }
}
