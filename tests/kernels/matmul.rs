//! Linear layers at awkward sizes, with every weight format and epilogue, by every kernel.

use kinora::gpu::Gpu;
use kinora::ops::matmul::{Epilogue, matmul};
use kinora::record::{Caps, DeviceClass, Pack, Recorder};
use kinora::tensor::DType;
use libtest_mimic::{Failed, Trial};

use crate::harness::compare::{HALVES, SUMS, close};
use crate::harness::data::{rounded, stored, values};
use crate::harness::guise::{Guise, guise_test};
use crate::harness::{Input, Run};
use crate::reference::matmul as twin;

/// (M, N, K): 1, around the tiles of 8, 16, 32, 64 and 128 rows and of 8, 32, 64 and 128 columns,
/// around steps of 16 and 32 along K, primes, more than one tile. Some results are stored four at a
/// time, some cannot be.
const SIZES: [(usize, usize, usize); 23] = [
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
    (16, 4, 4),
    (63, 60, 12),
    (64, 64, 32),
    (65, 68, 68),
    (257, 132, 148),
    // So many rows that GPUs take their largest tiles.
    (16_300, 12, 20),
    (33, 31, 8),
    (129, 33, 12),
    // Rows that GPUs read the weight for, around what an invocation asks for at a time.
    (1, 130, 260),
    (2, 8, 252),
    (3, 65, 516),
    (4, 68, 1028),
];

/// (M, N, blocks of K) for types that are for matrices alone: only the weight is read in another
/// way.
const BLOCK_SIZES: [(usize, usize, usize); 9] = [
    (1, 1, 1),
    (1, 65, 9),
    (3, 12, 5),
    (7, 63, 3),
    (9, 65, 2),
    (31, 17, 1),
    (65, 68, 3),
    (130, 100, 2),
    (16_300, 12, 1),
];

/// Of those, for types beside one of each layout.
const FEW_SIZES: [(usize, usize, usize); 3] = [(1, 65, 9), (9, 65, 2), (65, 68, 3)];

const EPILOGUES: [&str; 12] = [
    "bias",
    "bias_gelu",
    "bias_gelu_erf",
    "bias_quick_gelu",
    "bias_silu",
    "bias_residual",
    "gate_residual",
    "residual",
    "residual_gelu",
    "residual_gelu_erf",
    "residual_silu",
    "gelu_mul",
];

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    trials.extend(few_rows(Guise::Staged));
    trials.extend(few_rows(Guise::Bare));
    for guise in Guise::ALL {
        for weight in DType::WEIGHTS {
            let blocks = |&(m, n, count)| (m, n, count * weight.block().max(20));
            let sizes: Vec<_> = match weight {
                DType::F8E4M3 | DType::Q8_0 | DType::Q4_0 | DType::Q6_K => {
                    BLOCK_SIZES.iter().map(blocks).collect()
                }
                _ if weight.is_for_matrices() => FEW_SIZES.iter().map(blocks).collect(),
                _ => SIZES.to_vec(),
            };
            for (m, n, k) in sizes {
                // Only the way of operands into matrices differs there: one format shows it.
                if guise == Guise::Apple && weight != DType::BF16 {
                    continue;
                }
                let case = Case {
                    size: [m, n, k],
                    weight,
                    ..Case::default()
                };
                let name = format!("matmul/{weight}/{m}x{n}x{k}");
                trials.push(guise_test(guise, &name, move |gpu, caps| {
                    case.run(gpu, caps)
                }));
            }
        }
        for epilogue in EPILOGUES {
            let case = Case {
                epilogue,
                ..Case::default()
            };
            let name = format!("matmul/epilogue/{epilogue}");
            trials.push(guise_test(guise, &name, move |gpu, caps| {
                case.run(gpu, caps)
            }));
        }
        trials.push(guise_test(guise, "matmul/x in f16", |gpu, caps| {
            let case = Case {
                input: DType::F16,
                ..Case::default()
            };
            case.run(gpu, caps)
        }));
        for weight in [DType::F32, DType::F8E4M3, DType::Q8_0, DType::Q4_0] {
            for rows in [3, 130] {
                let name = format!("matmul/small_bindings/{weight}/{rows}");
                trials.push(guise_test(guise, &name, move |gpu, caps| {
                    small_bindings(gpu, caps, weight, rows)
                }));
            }
        }
        for weight in DType::WEIGHTS
            .into_iter()
            .filter(|dtype| dtype.exceeds_f16())
        {
            let name = format!("matmul/wide_range/{weight}");
            trials.push(guise_test(guise, &name, move |gpu, caps| {
                wide_range(gpu, caps, weight)
            }));
        }
    }
    trials.push(guise_test(
        Guise::Found,
        "matmul/part of a block",
        |_, caps| {
            let mut rec = Recorder::new(caps);
            let x = rec.input("x", [3, 40], DType::F32)?;
            let w = rec.weight("w", [8, 40], DType::Q8_0, Pack::Matrix)?;
            match matmul(&mut rec, &x, &w, Epilogue::None, None) {
                Err(error) if error.to_string().contains("a multiple of the block") => Ok(()),
                other => Err(format!("{other:?}").into()),
            }
        },
    ));
    trials.push(guise_test(Guise::Coop, "matmul/y in f16", |gpu, caps| {
        let case = Case {
            input: DType::F16,
            result: DType::F16,
            epilogue: "bias_gelu",
            ..Case::default()
        };
        case.run(gpu, caps)
    }));
    trials
}

/// Few rows, with every format and epilogue, on GPUs with and without subgroups.
fn few_rows(guise: Guise) -> Vec<Trial> {
    let weights = DType::WEIGHTS.map(|weight| (weight, "none"));
    let epilogues = EPILOGUES.map(|epilogue| (DType::F16, epilogue));
    let cases = weights.into_iter().chain(epilogues).flat_map(|kind| {
        [(1, DType::F32), (3, DType::F16)].map(|(rows, input)| (kind, rows, input))
    });
    let trial = |((weight, epilogue), rows, input): ((DType, &'static str), usize, DType)| {
        let case = Case {
            size: [rows, 37, 180_usize.next_multiple_of(weight.block())],
            input,
            weight,
            epilogue,
            ..Case::default()
        };
        let name = format!("matmul/few_rows/{weight}/{epilogue}/{rows}");
        guise_test(guise, &name, move |gpu, caps| case.run(gpu, caps))
    };
    cases.map(trial).collect()
}

/// One product, with data of its own.
#[derive(Clone, Copy)]
struct Case {
    /// M, N, K.
    size: [usize; 3],
    input: DType,
    weight: DType,
    result: DType,
    epilogue: &'static str,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            size: [19, 24, 16],
            input: DType::F32,
            weight: DType::F32,
            result: DType::F32,
            epilogue: "none",
        }
    }
}

impl Case {
    fn run(&self, gpu: &Gpu, caps: &Caps) -> Result<(), Failed> {
        let [m, n, k] = self.size;
        let distinct = 3;
        let x = rounded(&values(1, m * k), self.input);
        let exact = values(2, n * k);
        let w = stored(&exact, &[n, k], self.weight).to_f32();
        let bias = rounded(&values(5, n), DType::F16);
        let other = values(6, m * n);
        let gate = values(7, distinct * n);
        let index: Vec<u32> = (0..m as u32).map(|i| (i * 5) % distinct as u32).collect();
        let mut kernel = "";
        let found = Run::new(gpu)
            .weights(&[
                ("w", &[n, k], self.weight, &exact),
                ("bias", &[n], DType::F16, &bias),
            ])
            .input("x", Input::of(&x, self.input))
            .input("other", Input::F32(&other))
            .input("gate", Input::F32(&gate))
            .input("index", Input::U32(&index))
            .record_for(caps, |rec, source| {
                let x = rec.input("x", [m, k], self.input)?;
                let w = rec.weight("w", [n, k], self.weight, Pack::Matrix)?;
                let bias = source.vector(rec, "bias", [n])?;
                let residual = rec.input("other", [m, n], DType::F32)?;
                let gate = rec.input("gate", [distinct, n], DType::F32)?;
                let index = rec.input("index", [m], DType::U32)?;
                let epilogue = match self.epilogue {
                    "bias" => Epilogue::Bias(&bias),
                    "bias_gelu" => Epilogue::BiasGelu(&bias),
                    "bias_gelu_erf" => Epilogue::BiasGeluErf(&bias),
                    "bias_quick_gelu" => Epilogue::BiasQuickGelu(&bias),
                    "bias_silu" => Epilogue::BiasSilu(&bias),
                    "bias_residual" => Epilogue::BiasResidual(&bias, &residual),
                    "residual" => Epilogue::Residual(&residual),
                    "residual_gelu" => Epilogue::ResidualGelu(&residual),
                    "residual_gelu_erf" => Epilogue::ResidualGeluErf(&residual),
                    "residual_silu" => Epilogue::ResidualSilu(&residual),
                    "gelu_mul" => Epilogue::GeluMul(&residual),
                    "gate_residual" => Epilogue::GateResidual {
                        bias: &bias,
                        residual: &residual,
                        gate: &gate,
                        index: &index,
                    },
                    _ => Epilogue::None,
                };
                let y = rec.intermediate("y", [m, n], self.result);
                let y = matmul(rec, &x, &w, epilogue, Some(&y))?;
                kernel = rec.last_kernel();
                Ok(vec![y])
            })?;
        let few = (1..=4).contains(&m) && caps.class != DeviceClass::Software;
        if few && self.result == DType::F32 && kernel != "matvec" {
            return Err(format!("{kernel} in place of matvec").into());
        }
        // Both sides see the operands as the kernel does.
        let seen = |values: &[f32]| match kernel {
            "matmul_coop" => rounded(values, DType::F16),
            _ => values.to_vec(),
        };
        let mut expected = twin::matmul(&seen(&x), &seen(&w), m, n, k);
        for (at, value) in expected.iter_mut().enumerate() {
            let (row, col) = (at / n, at % n);
            let biased = *value + f64::from(bias[col]);
            let other = f64::from(other[at]);
            *value = match self.epilogue {
                "bias" => biased,
                "bias_gelu" => twin::gelu_tanh(biased),
                "bias_gelu_erf" => twin::gelu_erf(biased),
                "bias_quick_gelu" => twin::quick_gelu(biased),
                "bias_silu" => twin::silu(biased),
                "bias_residual" => other + biased,
                "residual" => other + *value,
                "residual_gelu" => twin::gelu_tanh(other + *value),
                "residual_gelu_erf" => twin::gelu_erf(other + *value),
                "residual_silu" => twin::silu(other + *value),
                "gelu_mul" => twin::gelu_tanh(*value) * other,
                "gate_residual" => other + f64::from(gate[index[row] as usize * n + col]) * biased,
                _ => *value,
            };
        }
        let tolerance = match self.result {
            DType::F16 => HALVES,
            _ => SUMS,
        };
        close(kernel, &found[0], &expected, tolerance)
    }
}

/// On a device that can bind 64 of 130 rows of x (or all of 3) and of the weight's 64 of 307 in f32, 256 in e4m3,
/// 192 in q8_0, and 384 of 563 in q4_0: the same bits.
fn small_bindings(gpu: &Gpu, caps: &Caps, weight: DType, m: usize) -> Result<(), Failed> {
    let (n, k, max_binding_bytes) = match weight {
        // An odd number of blocks: 64 rows are no multiple of 256 bytes.
        DType::Q4_0 => (563_usize, 544, 150_000),
        _ => (307, 288, 80_000),
    };
    let width = n.next_multiple_of(4);
    let (x, bias) = (values(8, m * k), values(10, n));
    let exact = values(9, n * k);
    let w = stored(&exact, &[n, k], weight).to_f32();
    let run = |caps: &Caps| {
        let run = Run::new(gpu)
            .weights(&[
                ("w", &[n, k], weight, &exact),
                ("bias", &[n], DType::F32, &bias),
            ])
            .input("x", Input::F32(&x));
        run.record_for(caps, |rec, source| {
            let x = rec.input("x", [m, k], DType::F32)?;
            let w = rec.weight("w", [n, k], weight, Pack::Matrix)?;
            let bias = source.vector(rec, "bias", [n])?;
            // Wider than n: the last columns are 0.
            let y = rec.intermediate("y", [m, width], DType::F32);
            Ok(vec![matmul(rec, &x, &w, Epilogue::Bias(&bias), Some(&y))?])
        })
    };
    let found = run(&Caps {
        max_binding_bytes,
        ..caps.clone()
    })?;
    if found != run(caps)? {
        return Err("the result changes with the device's limits".into());
    }
    let narrow: Vec<f32> = found[0]
        .chunks(width)
        .flat_map(|row| row[..n].to_vec())
        .collect();
    let half = |values: &[f32]| match caps.activations() {
        // Few rows are multiplied as they are.
        DType::F16 if m > 4 => rounded(values, DType::F16),
        _ => values.to_vec(),
    };
    let mut expected = twin::matmul(&half(&x), &half(&w), m, n, k);
    expected
        .iter_mut()
        .enumerate()
        .for_each(|(at, y)| *y += f64::from(bias[at % n]));
    close("y", &narrow, &expected, SUMS)?;
    let zeros = found[0].chunks(width).all(|row| row[n..] == [0.0]);
    if zeros {
        Ok(())
    } else {
        Err("columns beyond n are not 0".into())
    }
}

/// Weights that f16 cannot hold: in f32, bf16 and e4m3 rows around 1e30, 1e6, 1 and 1e-8, in blocks
/// up to 2^17 (where minima are f16, 2^14) and down to 2^-12, each judged by itself.
fn wide_range(gpu: &Gpu, caps: &Caps, weight: DType) -> Result<(), Failed> {
    let (m, n, k) = (20, 8, 64_usize.next_multiple_of(weight.block()));
    let sizes = match weight {
        _ if weight.block() == 1 => [1e30, 1e-8, 1e6, 1.0, 1e-30, 3e4, 1e-5, 7e4],
        DType::Q4_1 | DType::Q5_1 => [14, -12, 13, 0, -6, 12, 10, 11].map(|e| f32::exp2(e as f32)),
        _ => [17, -12, 16, 0, -6, 15, 10, 14].map(|e| f32::exp2(e as f32)),
    };
    let x = rounded(&values(11, m * k), DType::F16);
    let exact: Vec<f32> = values(12, n * k)
        .iter()
        .enumerate()
        .map(|(at, v)| v * sizes[at / k])
        .collect();
    let mut w = stored(&exact, &[n, k], weight).to_f32();
    let found = Run::new(gpu)
        .weights(&[("w", &[n, k], weight, &exact)])
        .input("x", Input::F32(&x))
        .record_for(caps, |rec, _| {
            let x = rec.input("x", [m, k], DType::F32)?;
            let w = rec.weight("w", [n, k], weight, Pack::Matrix)?;
            Ok(vec![matmul(rec, &x, &w, Epilogue::None, None)?])
        })?;
    if weight != DType::BF16 && caps.activations() == DType::F16 {
        // Most have more bits than f16; eight bits of bf16 fit it as they are.
        for (row, size) in w.chunks_mut(k).zip(sizes) {
            let size = size.log2().round().exp2();
            let near_one: Vec<f32> = row.iter().map(|v| v / size).collect();
            let halves = rounded(&near_one, DType::F16);
            row.iter_mut()
                .zip(halves)
                .for_each(|(v, half)| *v = half * size);
        }
    }
    let expected = twin::matmul(&x, &w, m, n, k);
    for (col, size) in sizes.iter().enumerate() {
        let of_row: Vec<f32> = found[0].iter().skip(col).step_by(n).copied().collect();
        let twin: Vec<f64> = expected.iter().skip(col).step_by(n).copied().collect();
        close(&format!("weights around {size:e}"), &of_row, &twin, SUMS)?;
    }
    Ok(())
}
