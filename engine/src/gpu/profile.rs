//! Where a run's time goes, kernel by kernel.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// The total time of the dispatches of one kernel with one amount of work.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileRow {
    /// The variant, as [`crate::shader::Variant`] prints itself.
    pub variant: String,
    /// How many dispatches.
    pub dispatches: u64,
    /// Their total time by the device's clock or, without one, from submit to completion with one
    /// submit per dispatch.
    pub seconds: f64,
    /// Floating-point operations of one.
    pub flops: u64,
    /// Bytes that one binds, each counted once.
    pub bytes: u64,
}

impl ProfileRow {
    /// Floating-point operations a second, in units of 1e9.
    pub fn gflops(&self) -> f64 {
        rate(self.flops * self.dispatches, self.seconds)
    }

    /// Bound bytes a second, in units of 1e9.
    pub fn gbytes_per_s(&self) -> f64 {
        rate(self.bytes * self.dispatches, self.seconds)
    }
}

fn rate(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds.max(1e-12) * 1e-9
}

/// The kernel and work of a dispatch, which identify its row.
type Key = (String, u64, u64);

/// The measurements so far; `None` while profiling is off.
#[derive(Debug, Default)]
pub(super) struct Profile {
    rows: Mutex<Option<HashMap<Key, (u64, f64)>>>,
}

impl Profile {
    fn rows(&self) -> std::sync::MutexGuard<'_, Option<HashMap<Key, (u64, f64)>>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(&self) {
        self.rows().get_or_insert_default();
    }

    pub(super) fn is_on(&self) -> bool {
        self.rows().is_some()
    }

    pub(super) fn add(&self, key: Key, seconds: f64) {
        if let Some(rows) = self.rows().as_mut() {
            let row = rows.entry(key).or_default();
            row.0 += 1;
            row.1 += seconds;
        }
    }

    /// Returns the rows, the longest first, and clears the measurements.
    pub(super) fn take(&self) -> Vec<ProfileRow> {
        let taken = self.rows().as_mut().map(std::mem::take).unwrap_or_default();
        let mut rows: Vec<ProfileRow> = taken
            .into_iter()
            .map(
                |((variant, flops, bytes), (dispatches, seconds))| ProfileRow {
                    variant,
                    dispatches,
                    seconds,
                    flops,
                    bytes,
                },
            )
            .collect();
        rows.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        rows
    }
}
