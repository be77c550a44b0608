//! One bench under criterion.

use std::cell::OnceCell;
use std::fmt::Display;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput};
use kinora::bench::{Prepared, Problem, Work};
use kinora::gpu::{Cancel, Gpu};

/// Adds the bench `name`; `gpu` is `None` where only names are wanted.
///
/// # Panics
/// When it is measured and fails: criterion has no other way to fail a run, and a made-up time would
/// be taken for a measurement.
pub fn add(criterion: &mut Criterion, gpu: Option<&Gpu>, name: &str, problem: Problem) {
    // Together they are the name again.
    let (group, function) = name.split_once('/').unwrap_or(("", name));
    let mut group: BenchmarkGroup<'_, WallTime> = criterion.benchmark_group(group);
    if let Some(Ok(work)) = gpu.map(|gpu| problem.work(gpu.caps())) {
        group.throughput(match work {
            Work::Flops(count) => Throughput::Elements(count),
            Work::Bytes(count) => Throughput::Bytes(count),
        });
    }
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    // Made when the first iteration is due: a filter may leave the bench out.
    let prepared: OnceCell<Prepared> = OnceCell::new();
    group.bench_function(function, |bencher| {
        bencher.iter_custom(|runs| {
            let prepared = prepared.get_or_init(|| match gpu {
                Some(gpu) => Prepared::new(gpu, problem).unwrap_or_else(|error| fail(name, &error)),
                None => fail(name, &"there is no device"),
            });
            prepared
                .time(runs, &Cancel::new())
                .unwrap_or_else(|error| fail(name, &error))
        });
    });
    group.finish();
}

fn fail(name: &str, error: &dyn Display) -> ! {
    panic!("{name}: {error}")
}
