//! Seeds as people write them, and those of variations.

use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::error::RequestError;

/// A seed as people write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seed {
    /// -1: one is drawn.
    Drawn,
    /// This one.
    Given(u64),
}

impl Seed {
    /// The seed, unless it is drawn.
    pub fn given(self) -> Option<u64> {
        match self {
            Self::Given(seed) => Some(seed),
            Self::Drawn => None,
        }
    }
}

impl FromStr for Seed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(seed) => Ok(Self::Given(seed)),
            Err(_) if text == "-1" => Ok(Self::Drawn),
            Err(_) => Err(format!("expected 0 to {}, or -1", u64::MAX)),
        }
    }
}

/// The seeds of `count` variations, one apart, from `first` on. One that was drawn makes room for the
/// others.
///
/// # Errors
/// [`RequestError::Seeds`] for a given seed whose variations go beyond the largest.
pub fn seeds(first: u64, is_given: bool, count: u64) -> Result<RangeInclusive<u64>, RequestError> {
    let more = count.saturating_sub(1);
    match first.checked_add(more) {
        Some(last) => Ok(first..=last),
        None if !is_given => Ok(first - count..=first - count + more),
        None => Err(RequestError::Seeds { seed: first, count }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variations_stay_below_the_largest_seed() {
        assert_eq!(seeds(7, true, 3).unwrap(), 7..=9);
        assert_eq!(seeds(u64::MAX, true, 1).unwrap(), u64::MAX..=u64::MAX);
        assert!(seeds(u64::MAX, true, 2).is_err());
        assert_eq!(seeds(u64::MAX, false, 2).unwrap().count(), 2);
        assert_eq!("-1".parse(), Ok(Seed::Drawn));
        assert!("-2".parse::<Seed>().is_err());
    }
}
