//! The benches of `kinora bench`, under criterion. See benches/README.md.
//!
//! Elements a second are floating-point operations a second, bytes a second are bytes.

#![allow(
    missing_docs,
    reason = "criterion's macros make an item without a doc comment"
)]

use std::cell::OnceCell;
use std::time::Duration;

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use kinora::bench::{Bench, Case, Prepared, Problem, Work, cases};
use kinora::gpu::{Cancel, Gpu, GpuOptions};

/// Seconds of one run beyond which a bench is left out unless `KINORA_BENCH_ALL` is set.
const LONG: f64 = 1.0;

/// What criterion was started for.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    /// `--list`: names, and no device.
    List,
    /// `--test`: one iteration of each at a small size.
    Test,
    Measure,
}

fn mode() -> Mode {
    let said = |wanted: &str| std::env::args().any(|argument| argument == wanted);
    match () {
        () if said("--list") => Mode::List,
        // `cargo test --benches` says neither.
        () if said("--test") || !said("--bench") => Mode::Test,
        () => Mode::Measure,
    }
}

/// One bench; `gpu` is `None` where only names are wanted.
fn add(criterion: &mut Criterion, gpu: Option<&Gpu>, case: &Case, problem: Problem) {
    // Together they are the name again.
    let (group, function) = case.name.split_once('/').unwrap_or(("", &case.name));
    let mut group = criterion.benchmark_group(group);
    if let Some(Ok(work)) = gpu.map(|gpu| problem.work(gpu.caps())) {
        group.throughput(match work {
            Work::Flops(count) => Throughput::Elements(count),
            Work::Bytes(count) => Throughput::Bytes(count),
        });
    }
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    // Made when the first iteration is due: a filter may leave the bench out.
    let prepared: OnceCell<Option<Prepared>> = OnceCell::new();
    group.bench_function(function, |bencher| {
        bencher.iter_custom(|runs| {
            let make = || gpu.map(|gpu| Prepared::new(gpu, problem)).transpose();
            let fail = |error: kinora::Error| {
                eprintln!("{}: {error}", case.name);
                // Criterion wants a time; nobody takes this one for a measurement.
                Duration::from_secs(1)
            };
            let prepared = prepared.get_or_init(|| match make() {
                Ok(prepared) => prepared,
                Err(error) => {
                    fail(error);
                    None
                }
            });
            match prepared {
                Some(prepared) => prepared.time(runs, &Cancel::new()).unwrap_or_else(fail),
                None => Duration::from_secs(1),
            }
        });
    });
    group.finish();
}

fn open(mode: Mode) -> Option<Gpu> {
    if mode == Mode::List {
        return None;
    }
    match Gpu::open(&GpuOptions::default()) {
        Ok(gpu) => Some(gpu),
        Err(error) => {
            eprintln!("{error}");
            None
        }
    }
}

fn kernels(criterion: &mut Criterion) {
    let mode = mode();
    let gpu = open(mode);
    if mode != Mode::List && gpu.is_none() {
        return;
    }
    let measured = match (mode, &gpu) {
        (Mode::Measure, Some(gpu)) => Bench::new(gpu, &Cancel::new()).ok(),
        _ => None,
    };
    if let Some(bench) = &measured {
        let (caps, ceilings) = (bench.gpu().caps(), bench.ceilings());
        eprintln!(
            "{} ({}): at most {:.1} GFLOP/s and {:.1} GB/s",
            caps.name,
            caps.driver,
            ceilings.flops * 1e-9,
            ceilings.bytes * 1e-9
        );
    }
    let all = std::env::var_os("KINORA_BENCH_ALL").is_some();
    let possible = |case: &Case| {
        let caps = gpu.as_ref().map(Gpu::caps);
        caps.is_none_or(|caps| case.problem.is_possible(caps))
    };
    for case in cases().into_iter().filter(possible) {
        let long = |bench: &Bench| bench.estimate(&case).is_ok_and(|seconds| seconds > LONG);
        if !all && measured.as_ref().is_some_and(long) {
            eprintln!("{}: left out, a run may take more than {LONG} s", case.name);
            continue;
        }
        let problem = match mode {
            Mode::Test => case.problem.small(),
            _ => case.problem,
        };
        add(criterion, gpu.as_ref(), &case, problem);
    }
}

criterion_group!(benches, kernels);
criterion_main!(benches);
