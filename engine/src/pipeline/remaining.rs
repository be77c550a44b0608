//! How long a stage goes on, by the units that it has done.

use std::time::{Duration, Instant};

/// The units of a stage: done, by an earlier run, and in all.
#[derive(Clone, Debug)]
pub struct Remaining {
    /// Units done.
    pub done: usize,
    /// Units that an earlier run did.
    pub skipped: usize,
    /// Units in all.
    pub total: usize,
    /// When the first unit of this run was done, and how many were done then.
    first: Option<(Instant, usize)>,
}

impl Remaining {
    /// A stage that begins.
    pub fn new(total: usize) -> Self {
        Self {
            done: 0,
            skipped: 0,
            total,
            first: None,
        }
    }

    /// The stage continues from where an earlier run stopped.
    pub fn skip(&mut self, skipped: usize) {
        (self.done, self.skipped) = (skipped, skipped);
    }

    /// Units are done; the time left from `now` on.
    ///
    /// It counts the units after the first, which also compiles kernels and waits for files, and is
    /// `None` while there are fewer than two of them.
    pub fn reach(&mut self, done: usize, total: usize, now: Instant) -> Option<Duration> {
        (self.done, self.total) = (done, total);
        if done > self.skipped && self.first.is_none() {
            self.first = Some((now, done));
        }
        let (when, then) = self.first?;
        let since = done.saturating_sub(then);
        (since >= 2).then(|| {
            let left = total.saturating_sub(done);
            now.duration_since(when).mul_f64(left as f64 / since as f64)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_unit_says_nothing_of_the_time_left() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut stage = Remaining::new(9);
        assert_eq!(stage.reach(1, 9, at(40)), None);
        assert_eq!(stage.reach(2, 9, at(41)), None);
        assert_eq!(stage.reach(5, 9, at(44)), Some(Duration::from_secs(4)));
        let mut resumed = Remaining::new(9);
        resumed.skip(5);
        assert_eq!(resumed.reach(6, 9, at(10)), None);
        assert_eq!(resumed.reach(8, 9, at(14)), Some(Duration::from_secs(2)));
    }
}
