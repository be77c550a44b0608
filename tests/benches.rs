//! One iteration of every bench at a small size: the list that `cargo bench` and `kinora bench`
//! measure stays runnable.

#![allow(
    unreachable_pub,
    clippy::panic,
    reason = "the modules of a test program are its own; a bench fails by panicking"
)]

#[path = "../benches/case.rs"]
mod case;
mod harness;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use criterion::Criterion;
use kinora::bench::{Bench, Prepared, Problem, Work, cases, select};
use kinora::gpu::Cancel;
use libtest_mimic::{Failed, Trial};

fn main() {
    let mut trials = vec![harness::device_test("shares_of_the_ceilings", |gpu| {
        let bench = Bench::new(gpu, &Cancel::new())?;
        let case = select(&["ceiling/copy".to_owned()])
            .map_err(|name| format!("no bench {name}"))?
            .remove(0);
        let measured = bench.measure(&case, &Cancel::new())?;
        // The copy is a ceiling itself.
        let exact = (measured.share - 1.0).abs() < 1e-6;
        let rate = measured.rate() / bench.ceilings().bytes;
        if !exact || (rate - 1.0).abs() > 1e-6 || bench.ceilings().flops <= 0.0 {
            return Err(format!("{measured:?} of {:?}", bench.ceilings()).into());
        }
        Ok(())
    })];
    trials.push(harness::device_test(
        "a_bench_that_fails_fails_the_run",
        |_| {
            let gpu = kinora::gpu::Gpu::open(&harness::options())?;
            let copy = select(&["ceiling/copy".to_owned()])
                .map_err(|name| format!("no bench {name}"))?
                .remove(0);
            gpu.pretend_memory(1);
            let run = || {
                let mut criterion = Criterion::default()
                    .without_plots()
                    .output_directory(&std::env::temp_dir());
                case::add(&mut criterion, Some(&gpu), &copy.name, copy.problem.small());
            };
            match catch_unwind(AssertUnwindSafe(run)) {
                Ok(()) => Err("it was measured".into()),
                Err(panic) => match panic.downcast_ref::<String>() {
                    Some(said) if said.contains("ceiling/copy") => Ok(()),
                    said => Err(format!("it says {said:?}").into()),
                },
            }
        },
    ));
    for case in cases() {
        trials.push(harness::device_test(
            format!("bench/{}", case.name),
            move |gpu| {
                if !case.problem.is_possible(gpu.caps()) {
                    return Ok(());
                }
                // Two names may be one small problem; each is cheap.
                once(gpu, case.problem.small())
            },
        ));
    }
    trials.push(Trial::test("work", || {
        // By hand: 2 M N K, 4 H Lq Lk D, 2 C N 27 T H W.
        let flops = |name: &str| {
            let case = select(&[name.to_owned()]).map(|mut cases| cases.remove(0));
            case.map(|case| case.problem.work(&kinora::record::Caps::least()))
        };
        for (name, expected) in [
            ("matmul/f32/1024x1536x1536", 4_831_838_208),
            ("attention/f16/12x1024x1024x128", 6_442_450_944),
            ("conv3d/f16/96x96x3x3x3_4x64x64", 8_153_726_976),
        ] {
            match flops(name) {
                Ok(Ok(Work::Flops(found))) if found == expected => {}
                other => return Err(format!("{name}: {other:?}, expected {expected}").into()),
            }
        }
        Ok(())
    }));
    harness::run(trials);
}

fn once(gpu: &kinora::gpu::Gpu, problem: Problem) -> Result<(), Failed> {
    let elapsed = Prepared::new(gpu, problem)?.time(1, &Cancel::new())?;
    match elapsed > Duration::ZERO {
        true => Ok(()),
        false => Err("no time passed".into()),
    }
}
