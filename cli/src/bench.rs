//! `kinora bench`: what the kernels do on a device, beside what it could do.

use std::io::{self, IsTerminal};

use indicatif::ProgressBar;
use kinora::bench::{Bench, Case, head, listed, object, row, select};
use kinora::gpu::{Gpu, GpuOptions};

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
