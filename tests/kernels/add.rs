//! Sums of two tensors.

use kinora::gpu::Gpu;
use kinora::ops::add::add;
use kinora::record::Caps;
use kinora::tensor::DType;
use libtest_mimic::{Failed, Trial};

use crate::harness::compare::{ELEMENTWISE, close};
use crate::harness::data::{rounded, values};
use crate::harness::{Input, Run, device_test};

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (rows, cols) in [(1, 4), (7, 12), (65, 68), (3, 1024)] {
        trials.push(device_test(format!("add/{rows}x{cols}"), move |gpu| {
            sum(gpu, gpu.caps(), rows, cols)
        }));
    }
    trials.push(device_test("add/within a small binding", |gpu| {
        let caps = Caps {
            max_binding_bytes: 20_000,
            ..gpu.caps().clone()
        };
        sum(gpu, &caps, 300, 64)
    }));
    trials
}

fn sum(gpu: &Gpu, caps: &Caps, rows: usize, cols: usize) -> Result<(), Failed> {
    for dtype in [DType::F32, DType::F16] {
        let [a, b] = [1, 2].map(|seed| rounded(&values(seed, rows * cols), dtype));
        let found = Run::new(gpu)
            .input("a", Input::of(&a, dtype))
            .input("b", Input::of(&b, dtype))
            .record_for(caps, |rec, _| {
                let a = rec.input("a", [rows, cols], dtype)?;
                let b = rec.input("b", [rows, cols], dtype)?;
                Ok(vec![add(rec, &a, &b)?])
            })?;
        let exact = a.iter().zip(&b).map(|(&a, &b)| f64::from(a) + f64::from(b));
        let expected: Vec<f64> = match dtype {
            // The result is rounded once, as its operands were.
            DType::F16 => {
                let exact: Vec<f32> = exact.map(|sum| sum as f32).collect();
                rounded(&exact, dtype).into_iter().map(f64::from).collect()
            }
            _ => exact.collect(),
        };
        close("add", &found[0], &expected, ELEMENTWISE)?;
    }
    Ok(())
}
