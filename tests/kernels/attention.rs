//! Attention by every kernel at awkward sizes: queries around the workgroup, keys around the group
//! or step, heads of one kernel and heads too wide for it, with and without a bias.

use kinora::gpu::Gpu;
use kinora::ops::attention::{AttentionShape, Bias, Heads, attention};
use kinora::record::{Caps, DeviceClass};
use kinora::tensor::DType;
use libtest_mimic::{Failed, Trial};

use crate::harness::compare::{HALVES, SUMS, Tolerance, close};
use crate::harness::data::{rounded, values};
use crate::harness::guise::{Guise, guise_test};
use crate::harness::{Input, Run};
use crate::reference::attention as twin;

/// (queries, keys, heads, head size)
const SIZES: [[usize; 4]; 15] = [
    [1, 1, 1, 4],
    [7, 7, 2, 12],
    [8, 8, 3, 16],
    [33, 65, 2, 16],
    [9, 9, 2, 20],
    [13, 17, 2, 64],
    [63, 5, 1, 36],
    [64, 64, 2, 32],
    [65, 131, 1, 128],
    [67, 101, 3, 44],
    // So many queries that GPUs take their largest tiles.
    [16_300, 5, 1, 36],
    [5461, 67, 3, 72],
    [5, 33, 1, 136],
    [19, 23, 1, 384],
    [10, 15, 1, 1024],
];

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for guise in Guise::ALL {
        for sizes in SIZES {
            let [lq, lk, h, d] = sizes;
            let name = format!("attention/{lq}x{lk}x{h}x{d}");
            trials.push(guise_test(guise, &name, move |gpu, caps| {
                plain(gpu, caps, sizes)
            }));
        }
        for sizes in [[1, 1, 8], [9, 3, 12], [37, 2, 16], [21, 1, 136]] {
            let [l, h, d] = sizes;
            let name = format!("attention/bias_table/{l}x{h}x{d}");
            trials.push(guise_test(guise, &name, move |gpu, caps| {
                biased(gpu, caps, sizes)
            }));
        }
        trials.push(guise_test(guise, "attention/bias_keys", counted));
        trials.push(guise_test(
            guise,
            "attention/columns_of_one_tensor",
            columns,
        ));
        trials.push(guise_test(guise, "attention/two_types", two_types));
        trials.push(guise_test(guise, "attention/large_scores", large));
        for (name, sizes, limit) in [
            ("attention/small_bindings", [70, 97, 3, 16], 13_000),
            ("attention/wide/small_bindings", [200, 97, 1, 136], 60_000),
        ] {
            trials.push(guise_test(guise, name, move |gpu, caps| {
                small_bindings(gpu, caps, sizes, limit)
            }));
        }
    }
    trials
}

/// What a result may be off by: where operands are rounded, shares of the values are, too.
fn tolerance(caps: &Caps) -> Tolerance {
    match caps.activations() {
        DType::F16 => HALVES,
        _ => SUMS,
    }
}

/// q, k, v of [lq, lk, h, d], in numbers that every kernel reads exactly.
fn operands([lq, lk, h, d]: [usize; 4]) -> [Vec<f32>; 3] {
    [(1, lq), (2, lk), (3, lk)].map(|(seed, rows)| rounded(&values(seed, rows * h * d), DType::F16))
}

/// The attention of q, k and v, each a tensor of that type.
fn run(
    gpu: &Gpu,
    caps: &Caps,
    [lq, lk, h, d]: [usize; 4],
    parts: [&[f32]; 3],
    types: [DType; 3],
    scale: f32,
) -> Result<Vec<f32>, Failed> {
    let mut kernel = "";
    let [q, k, v] = [0, 1, 2].map(|i| Input::of(parts[i], types[i]));
    let run = Run::new(gpu).input("q", q).input("k", k).input("v", v);
    let mut found = run.record_for(caps, |rec, _| {
        let q = rec.input("q", [lq, h * d], types[0])?;
        let k = rec.input("k", [lk, h * d], types[1])?;
        let v = rec.input("v", [lk, h * d], types[2])?;
        let shape = AttentionShape {
            heads: h,
            head_size: d,
            scale,
        };
        let [q, k, v] = [&q, &k, &v].map(Heads::from);
        let out = attention(rec, q, k, v, shape, Bias::None)?;
        kernel = rec.last_kernel();
        Ok(vec![out])
    })?;
    let with = match (caps.activations(), d) {
        (_, 129..) => "matmul",
        (DType::F16, d) if d % 16 == 0 => "attention_coop",
        _ if caps.class == DeviceClass::Software => "attention",
        _ => "attention_staged",
    };
    // A wide head ends in whatever multiplies matrices best.
    if kernel != with && !(with == "matmul" && kernel.starts_with(with)) {
        return Err(format!("{kernel} in place of {with}").into());
    }
    Ok(found.remove(0))
}

fn plain(gpu: &Gpu, caps: &Caps, sizes: [usize; 4]) -> Result<(), Failed> {
    let [q, k, v] = &operands(sizes);
    let scale = 1.0 / (sizes[3] as f32).sqrt();
    let parts: [&[f32]; 3] = [q, k, v];
    let expected = twin::attention(parts, sizes, f64::from(scale), |_, _, _| 0.0);
    for dtype in [DType::F32, DType::F16] {
        let found = run(gpu, caps, sizes, parts, [dtype; 3], scale)?;
        close(&dtype.to_string(), &found, &expected, tolerance(caps))?;
    }
    Ok(())
}

/// Queries and keys from a norm, values from a product.
fn two_types(gpu: &Gpu, caps: &Caps) -> Result<(), Failed> {
    let sizes = [9, 21, 2, 16];
    let [q, k, v] = &operands(sizes);
    let types = [DType::F16, DType::F16, DType::F32];
    let found = run(gpu, caps, sizes, [q, k, v], types, 0.5)?;
    let expected = twin::attention([q, k, v], sizes, 0.5, |_, _, _| 0.0);
    close("out", &found, &expected, tolerance(caps))
}

fn biased(gpu: &Gpu, caps: &Caps, [l, h, d]: [usize; 3]) -> Result<(), Failed> {
    let (buckets, sizes) = (7, [l, l, h, d]);
    let [q, k, v] = &operands(sizes);
    let table = values(4, buckets * h);
    let bucket: Vec<u32> = (0..2 * l as u32 - 1)
        .map(|i| (i * 3 + i / 5) % buckets as u32)
        .collect();
    let found = Run::new(gpu)
        .input("q", Input::F32(q))
        .input("k", Input::F32(k))
        .input("v", Input::F32(v))
        .input("table", Input::F32(&table))
        .input("bucket", Input::U32(&bucket))
        .record_for(caps, |rec, _| {
            let [q, k, v] = [
                rec.input("q", [l, h * d], DType::F32)?,
                rec.input("k", [l, h * d], DType::F32)?,
                rec.input("v", [l, h * d], DType::F32)?,
            ];
            let table = rec.input("table", [buckets, h], DType::F32)?;
            let bucket = rec.input("bucket", [2 * l - 1], DType::U32)?;
            let shape = AttentionShape {
                heads: h,
                head_size: d,
                scale: 1.0,
            };
            let bias = Bias::Table {
                table: &table,
                bucket: &bucket,
            };
            let [q, k, v] = [&q, &k, &v].map(Heads::from);
            Ok(vec![attention(rec, q, k, v, shape, bias)?])
        })?;
    let bias = |head: usize, query: usize, key: usize| {
        f64::from(table[bucket[key + l - 1 - query] as usize * h + head])
    };
    let expected = twin::attention([q, k, v], sizes, 1.0, bias);
    close("out", &found[0], &expected, tolerance(caps))
}

/// A key that counts as 490 and one that counts as none, against all of them written out.
fn counted(gpu: &Gpu, caps: &Caps) -> Result<(), Failed> {
    let (lq, lk, h, d, times) = (11, 9, 2, 16, 490);
    let [q, k, v] = &operands([lq, lk, h, d]);
    let mut bias = vec![0.0; lk];
    bias[lk - 2] = (times as f32).ln();
    bias[lk - 1] = -1e30;
    let found = Run::new(gpu)
        .input("q", Input::F32(q))
        .input("k", Input::F32(k))
        .input("v", Input::F32(v))
        .input("bias", Input::F32(&bias))
        .record_for(caps, |rec, _| {
            let q = rec.input("q", [lq, h * d], DType::F32)?;
            let k = rec.input("k", [lk, h * d], DType::F32)?;
            let v = rec.input("v", [lk, h * d], DType::F32)?;
            let bias = rec.input("bias", [lk], DType::F32)?;
            let shape = AttentionShape {
                heads: h,
                head_size: d,
                scale: 0.3,
            };
            let [q, k, v] = [&q, &k, &v].map(Heads::from);
            Ok(vec![attention(rec, q, k, v, shape, Bias::Keys(&bias))?])
        })?;
    let written_out = |x: &[f32]| {
        let row = h * d;
        let mut all = x[..(lk - 2) * row].to_vec();
        for _ in 0..times {
            all.extend_from_slice(&x[(lk - 2) * row..(lk - 1) * row]);
        }
        all
    };
    let (k, v) = (written_out(k), written_out(v));
    let sizes = [lq, lk - 2 + times, h, d];
    let expected = twin::attention([q, &k, &v], sizes, f64::from(0.3f32), |_, _, _| 0.0);
    close("out", &found[0], &expected, tolerance(caps))
}

/// q, k and v in the columns of one fused projection.
fn columns(gpu: &Gpu, caps: &Caps) -> Result<(), Failed> {
    for [l, h, d] in [[21, 2, 16], [9, 1, 144]] {
        let width = h * d;
        let fused = rounded(&values(5, l * 3 * width), DType::F16);
        let found = Run::new(gpu)
            .input("qkv", Input::F32(&fused))
            .record_for(caps, |rec, _| {
                let qkv = rec.input("qkv", [l, 3 * width], DType::F32)?;
                let [q, k, v] = [0, width, 2 * width].map(|first| Heads {
                    tensor: &qkv,
                    first,
                });
                let shape = AttentionShape {
                    heads: h,
                    head_size: d,
                    scale: 0.25,
                };
                Ok(vec![attention(rec, q, k, v, shape, Bias::None)?])
            })?;
        let part = |i: usize| -> Vec<f32> {
            let rows = fused.chunks(3 * width);
            rows.flat_map(|row| row[i * width..(i + 1) * width].to_vec())
                .collect()
        };
        let [q, k, v] = [0, 1, 2].map(part);
        let expected = twin::attention([&q, &k, &v], [l, l, h, d], 0.25, |_, _, _| 0.0);
        close("out", &found[0], &expected, tolerance(caps))?;
    }
    Ok(())
}

/// Scores of hundreds, rising with the key: the running maximum moves in every group.
fn large(gpu: &Gpu, caps: &Caps) -> Result<(), Failed> {
    let sizes = [37, 203, 1, 16];
    let [q, k, v] = operands(sizes);
    let raised = |x: &[f32], by: &dyn Fn(usize) -> f32| {
        let rows = x.iter().enumerate();
        let all: Vec<f32> = rows.map(|(i, v)| v + by(i / 16)).collect();
        rounded(&all, DType::F16)
    };
    let (q, k) = (raised(&q, &|_| 3.0), raised(&k, &|key| key as f32 / 5.0));
    let found = run(gpu, caps, sizes, [&q, &k, &v], [DType::F32; 3], 1.0)?;
    // A score of 2,000 carries an error of 2e-4 in f32, and so does its exponential.
    let expected = twin::attention([&q, &k, &v], sizes, 1.0, |_, _, _| 0.0);
    let tolerance = match caps.activations() {
        DType::F16 => HALVES,
        _ => Tolerance {
            nmse: 1e-7,
            max: 1e-3,
        },
    };
    close("out", &found, &expected, tolerance)
}

/// On a device that can bind some heads of the keys, or some of the queries: the same bits.
fn small_bindings(gpu: &Gpu, caps: &Caps, sizes: [usize; 4], limit: u64) -> Result<(), Failed> {
    let [q, k, v] = &operands(sizes);
    let run = |caps: &Caps| run(gpu, caps, sizes, [q, k, v], [DType::F32; 3], 0.25);
    let small = Caps {
        max_binding_bytes: limit,
        ..caps.clone()
    };
    if run(&small)? != run(caps)? {
        return Err("the result changes with the device's limits".into());
    }
    Ok(())
}
