//! How long a download goes on trying.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::HubError;

/// The first wait; each one after it is twice as long.
const FIRST: Duration = Duration::from_millis(200);
/// No wait of our own is longer.
const LONGEST: Duration = Duration::from_secs(30);
/// A server that asks for a longer one ends the download.
const TOO_LONG: Duration = Duration::from_secs(300);

/// Why a request brought nothing.
pub(crate) enum Failure {
    /// Asking again would change nothing.
    Final(HubError),
    /// The connection broke, or there was none.
    Network { host: String, reason: String },
    /// The server has too much to do; how long it wants to be left alone.
    Busy {
        host: String,
        status: u16,
        wait: Option<Duration>,
    },
}

impl From<HubError> for Failure {
    fn from(error: HubError) -> Self {
        Self::Final(error)
    }
}

/// Tries left before the next progress.
pub(crate) struct Backoff {
    tries: u32,
    limit: u32,
}

impl Backoff {
    /// Gives up at the failure number `limit` in a row.
    pub(crate) fn new(limit: u32) -> Self {
        Self { tries: 0, limit }
    }

    /// Something arrived: the next failure is the first again.
    pub(crate) fn renew(&mut self) {
        self.tries = 0;
    }

    /// How long to wait before the next try.
    ///
    /// # Errors
    /// The error of the failure if there is no next try.
    pub(crate) fn after(&mut self, failure: Failure) -> Result<Duration, HubError> {
        self.tries += 1;
        let over = self.tries >= self.limit;
        match failure {
            Failure::Final(error) => Err(error),
            Failure::Network { host, reason } if over => Err(HubError::Network { host, reason }),
            Failure::Network { .. } => Ok(self.pause()),
            Failure::Busy { host, status, wait } => {
                if over || wait.is_some_and(|wait| wait > TOO_LONG) {
                    return Err(self.busy(host, status, wait));
                }
                Ok(wait.unwrap_or_else(|| self.pause()) + jitter(FIRST))
            }
        }
    }

    /// Half of it is drawn, so that clients that failed together do not come back together.
    fn pause(&self) -> Duration {
        let whole = FIRST
            .saturating_mul(1 << (self.tries - 1).min(16))
            .min(LONGEST);
        whole / 2 + jitter(whole / 2)
    }

    fn busy(&self, host: String, status: u16, wait: Option<Duration>) -> HubError {
        let meaning = match status {
            408 => "request timeout",
            429 => "too many requests",
            500 => "internal error",
            502 => "bad gateway",
            503 => "service unavailable",
            504 => "gateway timeout",
            _ => "server error",
        };
        let when = match wait.map(|wait| wait.as_secs()) {
            None | Some(0) => "later".to_owned(),
            Some(seconds) if seconds < 120 => format!("in {seconds} seconds"),
            Some(seconds) => format!("in {} minutes", seconds.div_ceil(60)),
        };
        HubError::Busy {
            host,
            status,
            meaning,
            tries: self.tries,
            when,
        }
    }
}

/// Anything up to `most`.
fn jitter(most: Duration) -> Duration {
    // Each of these hashers has keys of its own.
    let drawn = RandomState::new().build_hasher().finish();
    most.mul_f64((drawn >> 11) as f64 / (1_u64 << 53) as f64)
}

/// Waits until `time` has passed or `stop` returns true.
///
/// # Errors
/// [`HubError::Interrupted`].
pub(crate) fn pause(time: Duration, stop: &dyn Fn() -> bool) -> Result<(), HubError> {
    let end = Instant::now() + time;
    loop {
        if stop() {
            return Err(HubError::Interrupted);
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(Duration::from_millis(50)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        let network = || Failure::Network {
            host: "x".into(),
            reason: "y".into(),
        };
        let mut backoff = Backoff::new(9);
        let waits: Vec<Duration> = (0..8).map(|_| backoff.after(network()).unwrap()).collect();
        for (index, wait) in waits.iter().enumerate() {
            let whole = FIRST.saturating_mul(1 << index).min(LONGEST);
            assert!((whole / 2..=whole).contains(wait), "{index}: {wait:?}");
        }
        assert!(matches!(
            backoff.after(network()),
            Err(HubError::Network { .. })
        ));
        backoff.renew();
        let busy = |seconds| Failure::Busy {
            host: "x".into(),
            status: 429,
            wait: Some(Duration::from_secs(seconds)),
        };
        assert!(backoff.after(busy(7)).unwrap() >= Duration::from_secs(7));
        let error = backoff.after(busy(3600)).unwrap_err().to_string();
        assert!(error.contains("in 60 minutes"), "{error}");
    }
}
