//! Measurements as lines of a table, and as JSON.

use serde_json::json;

use super::{Bench, Case, Measured, Work};
use crate::gpu::Gpu;

/// A name, or with `--json` what is computed, too.
pub fn listed(case: &Case, json: bool) -> String {
    if !json {
        return case.name.clone();
    }
    let (op, dtype, sizes) = case.problem.describe();
    format!(
        "{{\"name\": {}, \"op\": {}, \"dtype\": {}, \"sizes\": {}}}",
        json!(case.name),
        json!(op),
        json!(dtype.name()),
        json!(sizes)
    )
}

/// The device and its ceilings.
pub fn head(bench: &Bench) -> String {
    let caps = bench.gpu().caps();
    let clock = if bench.gpu().has_timestamps() {
        "the device's clock"
    } else {
        "the host's clock"
    };
    format!(
        "kinora {} on {}, {}, {}\nceilings: {} arithmetic, {} copied; times by {clock}\n\n{:44} {:>11}  {:>14}  {:>7}",
        env!("CARGO_PKG_VERSION"),
        caps.name,
        caps.driver,
        caps.backend,
        rate(Work::Flops(0), bench.ceilings().flops),
        rate(Work::Bytes(0), bench.ceilings().bytes),
        "bench",
        "time",
        "rate",
        "ceiling"
    )
}

/// A line of the table.
pub fn row(measured: &Measured) -> String {
    format!(
        "{:44} {:>11}  {:>14}  {:>6.1}%",
        measured.name,
        time(measured.seconds),
        rate(measured.work, measured.rate()),
        100.0 * measured.share
    )
}

/// A measurement as a JSON object.
pub fn object(measured: &Measured, gpu: &Gpu) -> String {
    let (unit, per_s) = match measured.work {
        Work::Flops(_) => ("gflops", measured.rate() * 1e-9),
        Work::Bytes(_) => ("gbytes_per_s", measured.rate() * 1e-9),
    };
    let fields = [
        ("name", json!(measured.name)),
        ("seconds", json!(measured.seconds)),
        (unit, json!(per_s)),
        ("share_of_ceiling", json!(measured.share)),
        ("device", json!(gpu.caps().name)),
        ("driver", json!(gpu.caps().driver)),
    ];
    // In this order, which a map would not keep.
    let fields = fields.map(|(key, value)| format!("\"{key}\": {value}"));
    format!("{{{}}}", fields.join(", "))
}

/// Operations or bytes a second, for people.
fn rate(work: Work, per_s: f64) -> String {
    match work {
        Work::Flops(_) if per_s >= 1e12 => format!("{:.1} TFLOP/s", per_s * 1e-12),
        Work::Flops(_) => format!("{:.1} GFLOP/s", per_s * 1e-9),
        Work::Bytes(_) => format!("{:.1} GB/s", per_s * 1e-9),
    }
}

/// Seconds for people, three digits.
fn time(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s >= 1.0 => (s, "s"),
        s if s >= 1e-3 => (s * 1e3, "ms"),
        s => (s * 1e6, "us"),
    };
    match value {
        v if v >= 100.0 => format!("{v:.0} {unit}"),
        v if v >= 10.0 => format!("{v:.1} {unit}"),
        v => format!("{v:.2} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_rates_read_well() {
        assert_eq!(
            [time(1.234), time(0.0123), time(4.5e-4), time(2e-6)],
            ["1.23 s", "12.3 ms", "450 us", "2.00 us"]
        );
        let flops = |per_s| rate(Work::Flops(1), per_s);
        assert_eq!(
            [flops(2.5e13), flops(8.2e10), rate(Work::Bytes(1), 4.8e12)],
            ["25.0 TFLOP/s", "82.0 GFLOP/s", "4800.0 GB/s"]
        );
    }
}
