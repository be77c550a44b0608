//! The benches of `kinora bench`, under criterion. See benches/README.md.
//!
//! Elements a second are floating-point operations a second, bytes a second are bytes.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::panic,
    reason = "criterion's macros make an item without a doc comment; a bench fails by panicking"
)]

mod case;

use criterion::{Criterion, criterion_group, criterion_main};
use kinora::bench::{Bench, Case, cases};
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

fn open(mode: Mode) -> Option<Gpu> {
    if mode == Mode::List {
        return None;
    }
    let options = || {
        // Set by `scripts/with-vulkan`.
        let backend = std::env::var("KINORA_BACKEND").ok();
        let backend = backend.map(|name| name.parse()).transpose()?;
        Ok(GpuOptions {
            backend,
            ..GpuOptions::default()
        })
    };
    match options().and_then(|options| Gpu::open(&options)) {
        Ok(gpu) => Some(gpu),
        Err(error) => panic!("{error}"),
    }
}

fn kernels(criterion: &mut Criterion) {
    let mode = mode();
    let gpu = open(mode);
    let measured = match (mode, &gpu) {
        (Mode::Measure, Some(gpu)) => match Bench::new(gpu, &Cancel::new()) {
            Ok(bench) => Some(bench),
            Err(error) => panic!("the device's ceilings: {error}"),
        },
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
        let long = |bench: &Bench| match bench.estimate(&case) {
            Ok(seconds) => seconds > LONG,
            Err(error) => panic!("{}: {error}", case.name),
        };
        if !all && measured.as_ref().is_some_and(long) {
            eprintln!("{}: left out, a run may take more than {LONG} s", case.name);
            continue;
        }
        let problem = match mode {
            Mode::Test => case.problem.small(),
            _ => case.problem,
        };
        case::add(criterion, gpu.as_ref(), &case.name, problem);
    }
}

criterion_group!(benches, kernels);
criterion_main!(benches);
