//! `kinora bench`: what the kernels do on a device, beside what it could do.

use std::io::{self, IsTerminal};

use indicatif::ProgressBar;
use kinora::bench::{Bench, Case, Measured, Work, select};
use kinora::gpu::{Gpu, GpuOptions};
use serde_json::json;

use crate::args::BenchArgs;
use crate::environment;
use crate::error::CliError;
use crate::interrupt::Interrupt;
use crate::output;
use crate::progress::say;

/// Seconds of one run beyond which a bench is left out unless it was asked for by its whole name.
const LONG: f64 = 2.5;

/// Measures and prints.
pub(crate) fn run(args: &BenchArgs, quiet: bool) -> Result<(), CliError> {
    let cases = select(&args.names).map_err(|name| CliError::UnknownBench { name })?;
    if args.list {
        let lines: String = cases
            .iter()
            .map(|case| listed(case, args.json) + "\n")
            .collect();
        return output::print(lines.as_bytes());
    }
    let interrupt = Interrupt::listen()?;
    interrupt.may_cut_off(&CliError::BenchInterrupted);
    let gpu = Gpu::open(&GpuOptions {
        device: args.device.device.clone(),
        ..environment::gpu_options()?
    })?;
    let teller = Teller::new(quiet);
    teller.now("the device's ceilings");
    let bench = Bench::new(&gpu, interrupt.cancel()).map_err(interrupted)?;
    if !args.json {
        print(&head(&bench))?;
    }
    let mut long = 0;
    for case in &cases {
        if !case.problem.is_possible(gpu.caps()) {
            teller.say(&format!("{}: the device has no such thing", case.name));
            continue;
        }
        let asked = args.names.contains(&case.name);
        if !asked && bench.estimate(case).is_ok_and(|seconds| seconds > LONG) {
            long += 1;
            continue;
        }
        teller.now(&case.name);
        match bench.measure(case, interrupt.cancel()).map_err(interrupted) {
            Ok(measured) => print(&match args.json {
                true => object(&measured, &gpu),
                false => row(&measured),
            })?,
            Err(error) if error.is_interruption() => return Err(error),
            Err(error) => teller.say(&left_out(case, &error)),
        }
    }
    if long > 0 {
        let line = format!(
            "{long} benches were left out, each of whose runs may take more than {LONG} s here: 'kinora bench --list' lists all, and one that is named is run"
        );
        teller.say(&line);
    }
    Ok(())
}

/// A name, or with `--json` what is computed, too.
fn listed(case: &Case, json: bool) -> String {
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

fn interrupted(error: kinora::Error) -> CliError {
    match CliError::from(error) {
        error if error.is_interruption() => CliError::BenchInterrupted,
        error => error,
    }
}

fn left_out(case: &Case, error: &CliError) -> String {
    format!("{}: left out: {error}", case.name)
}

fn print(line: &str) -> Result<(), CliError> {
    output::print(format!("{line}\n").as_bytes())
}

/// The device and its ceilings.
fn head(bench: &Bench) -> String {
    let caps = bench.gpu().caps();
    let clock = match bench.gpu().has_timestamps() {
        true => "the device's clock",
        false => "the host's clock",
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

fn row(measured: &Measured) -> String {
    format!(
        "{:44} {:>11}  {:>14}  {:>6.1}%",
        measured.name,
        time(measured.seconds),
        rate(measured.work, measured.rate()),
        100.0 * measured.share
    )
}

fn object(measured: &Measured, gpu: &Gpu) -> String {
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

/// Says on standard error what is being measured: a bar where it is a terminal, else lines.
struct Teller {
    quiet: bool,
    bar: Option<ProgressBar>,
}

impl Teller {
    fn new(quiet: bool) -> Self {
        // Results on the same terminal tell enough.
        let bar = !quiet && io::stderr().is_terminal() && !io::stdout().is_terminal();
        Self {
            quiet,
            bar: bar.then(ProgressBar::new_spinner),
        }
    }

    fn now(&self, what: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_message(format!("measuring {what}"));
                bar.tick();
            }
            None if io::stdout().is_terminal() => {}
            None => self.say(&format!("measuring {what}")),
        }
    }

    fn say(&self, line: &str) {
        if !self.quiet {
            say(self.bar.as_ref(), line);
        }
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
