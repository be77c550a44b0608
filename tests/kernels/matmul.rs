//! Linear layers at awkward sizes, with every weight format and epilogue.

use kinora::ops::matmul::{Epilogue, matmul};
use kinora::record::Pack;
use kinora::tensor::DType;
use libtest_mimic::{Failed, Trial};

use crate::harness::compare::{SUMS, close};
use crate::harness::data::{rounded, values};
use crate::harness::{Input, Run, device_test};
use crate::reference::matmul as twin;

/// (M, N, K): 1, around the tiles of 8 and 16 rows and of 8 or 64 columns, primes, more than one tile.
const SIZES: [(usize, usize, usize); 11] = [
    (1, 1, 4),
    (1, 63, 20),
    (7, 64, 8),
    (8, 65, 12),
    (9, 7, 4),
    (15, 9, 8),
    (16, 8, 16),
    (17, 17, 36),
    (13, 3, 44),
    (31, 37, 132),
    (130, 100, 64),
];

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (m, n, k) in SIZES {
        for dtype in [DType::F32, DType::F16, DType::BF16] {
            let name = format!("matmul/{dtype}/{m}x{n}x{k}");
            trials.push(device_test(name, move |gpu| {
                let x = values(1, m * k);
                let w = rounded(&values(2, n * k), dtype);
                let found = Run::new(gpu)
                    .weights(&[("w", &[n, k], dtype, &w)])
                    .input("x", Input::F32(&x))
                    .record(|rec, source| {
                        let x = rec.input("x", [m, k], DType::F32)?;
                        let w = source.weight(rec, "w", [n, k], Pack::Matrix)?;
                        Ok(vec![matmul(rec, &x, &w, Epilogue::None, None)?])
                    })?;
                close("y", &found[0], &twin::matmul(&x, &w, m, n, k), SUMS)
            }));
        }
    }
    for name in [
        "bias",
        "bias_gelu",
        "bias_silu",
        "bias_residual",
        "gate_residual",
        "residual",
        "gelu_mul",
    ] {
        trials.push(device_test(format!("matmul/epilogue/{name}"), move |gpu| {
            epilogue(gpu, name)
        }));
    }
    trials.push(device_test("matmul/small_bindings", small_bindings));
    trials
}

/// On a device that can bind 64 of 130 rows of x and 64 of 203 of the weight: the same bits.
fn small_bindings(gpu: &kinora::gpu::Gpu) -> Result<(), Failed> {
    let (m, n, k) = (130, 203, 300);
    let (x, w, bias) = (values(8, m * k), values(9, n * k), values(10, n));
    let run = |caps: &kinora::record::Caps| {
        let run = Run::new(gpu)
            .weights(&[
                ("w", &[n, k], DType::F32, &w),
                ("bias", &[n], DType::F32, &bias),
            ])
            .input("x", Input::F32(&x));
        run.record_for(caps, |rec, source| {
            let x = rec.input("x", [m, k], DType::F32)?;
            let w = source.weight(rec, "w", [n, k], Pack::Matrix)?;
            let bias = source.vector(rec, "bias", [n])?;
            // Wider than n: the last columns are 0.
            let y = rec.intermediate("y", [m, n.next_multiple_of(4)], DType::F32);
            Ok(vec![matmul(rec, &x, &w, Epilogue::Bias(&bias), Some(&y))?])
        })
    };
    let found = run(&kinora::record::Caps {
        max_binding_bytes: 80_000,
        ..gpu.caps().clone()
    })?;
    if found != run(gpu.caps())? {
        return Err("the result changes with the device's limits".into());
    }
    let narrow: Vec<f32> = found[0]
        .chunks(204)
        .flat_map(|row| row[..n].to_vec())
        .collect();
    let mut expected = twin::matmul(&x, &w, m, n, k);
    expected
        .iter_mut()
        .enumerate()
        .for_each(|(at, y)| *y += f64::from(bias[at % n]));
    close("y", &narrow, &expected, SUMS)?;
    let zeros = found[0].chunks(204).all(|row| row[n..] == [0.0]);
    if zeros {
        Ok(())
    } else {
        Err("columns beyond n are not 0".into())
    }
}

fn epilogue(gpu: &kinora::gpu::Gpu, name: &'static str) -> Result<(), Failed> {
    let (m, n, k, distinct) = (19, 21, 16, 3);
    let x = values(3, m * k);
    let w = values(4, n * k);
    let bias = values(5, n);
    let other = values(6, m * n);
    let gate = values(7, distinct * n);
    let index: Vec<u32> = (0..m as u32).map(|i| (i * 5) % distinct as u32).collect();
    let found = Run::new(gpu)
        .weights(&[
            ("w", &[n, k], DType::F32, &w),
            ("bias", &[n], DType::F16, &bias),
        ])
        .input("x", Input::F32(&x))
        .input("other", Input::F32(&other))
        .input("gate", Input::F32(&gate))
        .input("index", Input::U32(&index))
        .record(|rec, source| {
            let x = rec.input("x", [m, k], DType::F32)?;
            let w = source.weight(rec, "w", [n, k], Pack::Matrix)?;
            let bias = source.vector(rec, "bias", [n])?;
            let residual = rec.input("other", [m, n], DType::F32)?;
            let gate = rec.input("gate", [distinct, n], DType::F32)?;
            let index = rec.input("index", [m], DType::U32)?;
            let epilogue = match name {
                "bias" => Epilogue::Bias(&bias),
                "bias_gelu" => Epilogue::BiasGelu(&bias),
                "bias_silu" => Epilogue::BiasSilu(&bias),
                "bias_residual" => Epilogue::BiasResidual(&bias, &residual),
                "residual" => Epilogue::Residual(&residual),
                "gelu_mul" => Epilogue::GeluMul(&residual),
                _ => Epilogue::GateResidual {
                    bias: &bias,
                    residual: &residual,
                    gate: &gate,
                    index: &index,
                },
            };
            Ok(vec![matmul(rec, &x, &w, epilogue, None)?])
        })?;
    let bias = rounded(&bias, DType::F16);
    let mut expected = twin::matmul(&x, &w, m, n, k);
    for (at, value) in expected.iter_mut().enumerate() {
        let (row, col) = (at / n, at % n);
        let biased = *value + f64::from(bias[col]);
        let other = f64::from(other[at]);
        let gate = f64::from(gate[index[row] as usize * n + col]);
        *value = match name {
            "bias" => biased,
            "bias_gelu" => twin::gelu_tanh(biased),
            "bias_silu" => twin::silu(biased),
            "bias_residual" => other + biased,
            "residual" => other + *value,
            "gelu_mul" => twin::gelu_tanh(*value) * other,
            _ => other + gate * biased,
        };
    }
    close(name, &found[0], &expected, SUMS)
}
