//! The shape of the picture.

use std::fmt;
use std::str::FromStr;

/// The longer side is at most so many times the shorter one.
const MOST: f64 = 4.0;

/// The shape of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Aspect {
    /// 16:9
    Landscape,
    /// 9:16
    Portrait,
    /// 1:1
    Square,
    /// Any other width to height, in thousandths: see [`FromStr`].
    Ratio(u32, u32),
}

impl Aspect {
    /// Those with names of their own.
    pub const ALL: [(&'static str, Self); 3] = [
        ("16:9", Self::Landscape),
        ("9:16", Self::Portrait),
        ("1:1", Self::Square),
    ];

    /// Width and height of about `area` pixels, each the nearest multiple of `[wide, tall]`.
    pub(super) fn of_area(self, area: usize, multiple: [usize; 2]) -> [usize; 2] {
        let [w, h] = self.terms();
        let area = area as f64;
        let sides = [(area * w / h).sqrt(), (area * h / w).sqrt()];
        nearest(sides, multiple)
    }

    /// Width and height of which the shorter is `short`, the longer the nearest multiple.
    pub(super) fn of_short(self, short: usize, multiple: [usize; 2]) -> [usize; 2] {
        let [w, h] = self.terms();
        let scale = short as f64 / w.min(h);
        let made = nearest([w * scale, h * scale], multiple);
        if w < h {
            [short, made[1]]
        } else {
            [made[0], short]
        }
    }

    fn terms(self) -> [f64; 2] {
        match self {
            Self::Landscape => [16.0, 9.0],
            Self::Portrait => [9.0, 16.0],
            Self::Square => [1.0, 1.0],
            Self::Ratio(w, h) => [w, h].map(|side| f64::from(side.max(1))),
        }
    }
}

fn nearest(sides: [f64; 2], multiple: [usize; 2]) -> [usize; 2] {
    [0, 1].map(|i| {
        let unit = multiple[i].max(1);
        (sides[i] / unit as f64).round().max(1.0) as usize * unit
    })
}

/// `16:9`, `4:3`, `2.39:1`.
impl FromStr for Aspect {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let sides = text.split_once(':').and_then(|(w, h)| {
            let side = |text: &str| text.trim().parse::<f64>().ok();
            Some([side(w)?, side(h)?])
        });
        let sides = sides.filter(|sides| sides.iter().all(|s| (0.001..=100_000.0).contains(s)));
        let Some([w, h]) = sides else {
            return Err("expected width:height, such as 16:9, 4:3 or 2.39:1".to_owned());
        };
        if w / h > MOST || h / w > MOST {
            return Err(format!(
                "expected 1:{MOST} to {MOST}:1: no model makes pictures as narrow as this"
            ));
        }
        let known = Self::ALL.map(|(_, aspect)| aspect).into_iter();
        let same = |aspect: &Self| {
            let [a, b] = aspect.terms();
            (w * b - h * a).abs() < 1e-9 * w * b
        };
        let other = Self::Ratio((w * 1000.0).round() as u32, (h * 1000.0).round() as u32);
        Ok(known.into_iter().find(same).unwrap_or(other))
    }
}

/// As it is typed.
impl fmt::Display for Aspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [w, h] = self.terms();
        match self {
            Self::Ratio(..) => write!(f, "{}:{}", w / 1000.0, h / 1000.0),
            _ => write!(f, "{w}:{h}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_read_and_become_sizes() {
        let of = |text: &str| text.parse::<Aspect>();
        assert_eq!(of("16:9"), Ok(Aspect::Landscape));
        assert_eq!(of("32:18"), Ok(Aspect::Landscape));
        assert_eq!(of("5:5"), Ok(Aspect::Square));
        let area = 832 * 480;
        for (text, size, at_480) in [
            ("4:3", [736, 544], [640, 480]),
            ("3:4", [544, 736], [480, 640]),
            ("21:9", [960, 416], [1120, 480]),
            ("2.39:1", [976, 416], [1152, 480]),
        ] {
            let aspect = of(text).expect(text);
            assert_eq!(aspect.to_string(), text);
            assert_eq!(aspect.of_area(area, [16, 16]), size, "{text}");
            assert_eq!(aspect.of_short(480, [16, 16]), at_480, "{text}");
        }
        for text in [
            "", "16", "16x9", "0:1", "-4:3", "NaN:1", "1:inf", "100:1", "1:5",
        ] {
            assert!(
                of(text).is_err_and(|why| why.starts_with("expected")),
                "{text}"
            );
        }
    }
}
