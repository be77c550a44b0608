//! Which bytes of a file are there.

use std::ops::Range;

/// Ranges that neither touch nor overlap, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ranges(Vec<Range<u64>>);

impl Ranges {
    /// Adds one, which may overlap others.
    pub(crate) fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let first = self.0.partition_point(|known| known.end < range.start);
        let after = self.0.partition_point(|known| known.start <= range.end);
        let (mut start, mut end) = (range.start, range.end);
        for known in self.0.drain(first..after) {
            start = start.min(known.start);
            end = end.max(known.end);
        }
        self.0.insert(first, start..end);
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Range<u64>> {
        self.0.iter()
    }

    /// How many bytes they are.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.iter().map(|range| range.end - range.start).sum()
    }

    /// The gaps up to `size`, in pieces of at most `piece` bytes.
    pub(crate) fn missing(&self, size: u64, piece: u64) -> Vec<Range<u64>> {
        let piece = piece.max(1);
        let mut missing = Vec::new();
        let mut at = 0;
        for known in self.0.iter().cloned().chain(std::iter::once(size..size)) {
            while at < known.start.min(size) {
                let end = known.start.min(size).min(at.saturating_add(piece));
                missing.push(at..end);
                at = end;
            }
            at = at.max(known.end);
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_the_bytes_that_were_added() {
        // Against a plain list of flags, with seeded ranges.
        let (mut ranges, mut flags, mut seed) = (Ranges::default(), vec![false; 101], 7_u64);
        for _ in 0..60 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let start = (seed >> 33) % 101;
            let end = (start + (seed >> 50) % 9).min(101);
            ranges.insert(start..end);
            flags[start as usize..end as usize].fill(true);
            let there = flags.iter().filter(|flag| **flag).count() as u64;
            assert_eq!(ranges.bytes(), there);
            assert!(ranges.0.windows(2).all(|pair| pair[0].end < pair[1].start));
            let mut filled = flags.clone();
            for missing in ranges.missing(101, 4) {
                assert!((1..=4).contains(&(missing.end - missing.start)));
                for at in missing {
                    assert!(!std::mem::replace(&mut filled[at as usize], true));
                }
            }
            assert!(filled.iter().all(|flag| *flag));
        }
        assert_eq!(Ranges::default().missing(0, 4), []);
    }
}
