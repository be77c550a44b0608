//! Where a stage's time went, kernel by kernel, for people.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use super::ProfileRow;

/// Rows of one kernel that are shown separately; the rest are summed.
const SHOWN: usize = 24;

/// A table of the kernels of a stage that took `wall`.
pub fn profile_table(rows: &[ProfileRow], wall: Duration) -> String {
    let mut text = String::new();
    let wall = wall.as_secs_f64();
    let all: f64 = rows.iter().map(|row| row.seconds).sum();
    let share = |seconds: f64| 100.0 * seconds / wall.max(1e-9);
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(
        text,
        "  {:>8} {:>6} {:>9} {:>10} {:>8} {:>8}  kernel",
        "seconds", "share", "runs", "GFLOP each", "GFLOP/s", "GB/s"
    );
    for row in rows.iter().take(SHOWN) {
        let _ = writeln!(
            text,
            "  {:8.3} {:5.1}% {:9} {:10.4} {:8.1} {:8.1}  {}",
            row.seconds,
            share(row.seconds),
            row.dispatches,
            row.flops as f64 * 1e-9,
            row.gflops(),
            row.gbytes_per_s(),
            row.variant
        );
    }
    let rest: f64 = rows.iter().skip(SHOWN).map(|row| row.seconds).sum();
    let mut sum = |what: &str, seconds: f64| {
        let _ = writeln!(text, "  {seconds:8.3} {:5.1}%  {what}", share(seconds));
    };
    if rows.len() > SHOWN {
        sum(&format!("{} further", rows.len() - SHOWN), rest);
    }
    sum("outside kernels", (wall - all).max(0.0));
    let mut kernels: BTreeMap<&str, f64> = BTreeMap::new();
    for row in rows {
        let name = row.variant.split('[').next().unwrap_or_default();
        *kernels.entry(name).or_default() += row.seconds;
    }
    let mut kernels: Vec<_> = kernels.into_iter().collect();
    kernels.sort_by(|a, b| b.1.total_cmp(&a.1));
    let kernels: Vec<String> = kernels
        .into_iter()
        .map(|(name, seconds)| format!("{name} {:.1}%", share(seconds)))
        .collect();
    let _ = write!(text, "  by kernel: {}", kernels.join(", "));
    text
}
