//! Attention at awkward sizes: queries around the workgroup, keys around the group, heads of one
//! kernel and heads too wide for it, with and without a bias.

use kinora::ops::attention::{AttentionShape, Bias, Heads, attention};
use kinora::tensor::DType;
use libtest_mimic::{Failed, Trial};

use crate::harness::compare::{SUMS, close};
use crate::harness::data::values;
use crate::harness::{Input, Run, device_test};
use crate::reference::attention as twin;

/// (queries, keys, heads, head size)
const SIZES: [(usize, usize, usize, usize); 12] = [
    (1, 1, 1, 4),
    (7, 7, 2, 12),
    (8, 8, 3, 16),
    (9, 9, 2, 20),
    (13, 17, 2, 64),
    (63, 5, 1, 36),
    (64, 64, 2, 32),
    (65, 31, 1, 128),
    (67, 101, 3, 44),
    (5, 33, 1, 136),
    (19, 23, 1, 384),
    (10, 15, 1, 1024),
];

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (lq, lk, h, d) in SIZES {
        let name = format!("attention/{lq}x{lk}x{h}x{d}");
        trials.push(device_test(name, move |gpu| plain(gpu, [lq, lk, h, d])));
    }
    for (l, h, d) in [(1, 1, 8), (9, 3, 12), (37, 2, 64), (21, 1, 136)] {
        let name = format!("attention/bias_table/{l}x{h}x{d}");
        trials.push(device_test(name, move |gpu| biased(gpu, [l, h, d])));
    }
    trials.push(device_test("attention/bias_keys", counted));
    trials.push(device_test("attention/columns_of_one_tensor", columns));
    trials.push(device_test("attention/large_scores", large));
    trials.push(device_test("attention/small_bindings", |gpu| {
        small_bindings(gpu, [70, 97, 3, 16], 13_000)
    }));
    trials.push(device_test("attention/wide/small_bindings", |gpu| {
        small_bindings(gpu, [200, 97, 1, 136], 60_000)
    }));
    trials
}

fn plain(gpu: &kinora::gpu::Gpu, sizes: [usize; 4]) -> Result<(), Failed> {
    let [lq, lk, h, d] = sizes;
    let [q, k, v] = [
        values(1, lq * h * d),
        values(2, lk * h * d),
        values(3, lk * h * d),
    ];
    let scale = 1.0 / (d as f32).sqrt();
    let found = Run::new(gpu)
        .input("q", Input::F32(&q))
        .input("k", Input::F32(&k))
        .input("v", Input::F32(&v))
        .record(|rec, _| {
            let q = rec.input("q", [lq, h * d], DType::F32)?;
            let k = rec.input("k", [lk, h * d], DType::F32)?;
            let v = rec.input("v", [lk, h * d], DType::F32)?;
            let shape = AttentionShape {
                heads: h,
                head_size: d,
                scale,
            };
            Ok(vec![attention(
                rec,
                (&q).into(),
                (&k).into(),
                (&v).into(),
                shape,
                Bias::None,
            )?])
        })?;
    let expected = twin::attention([&q, &k, &v], sizes, f64::from(scale), |_, _, _| 0.0);
    close("out", &found[0], &expected, SUMS)
}

fn biased(gpu: &kinora::gpu::Gpu, [l, h, d]: [usize; 3]) -> Result<(), Failed> {
    let buckets = 7;
    let [q, k, v] = [1, 2, 3].map(|seed| values(seed, l * h * d));
    let table = values(4, buckets * h);
    let bucket: Vec<u32> = (0..2 * l as u32 - 1)
        .map(|i| (i * 3 + i / 5) % buckets as u32)
        .collect();
    let found = Run::new(gpu)
        .input("q", Input::F32(&q))
        .input("k", Input::F32(&k))
        .input("v", Input::F32(&v))
        .input("table", Input::F32(&table))
        .input("bucket", Input::U32(&bucket))
        .record(|rec, _| {
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
            Ok(vec![attention(
                rec,
                (&q).into(),
                (&k).into(),
                (&v).into(),
                shape,
                bias,
            )?])
        })?;
    let bias = |head: usize, query: usize, key: usize| {
        f64::from(table[bucket[key + l - 1 - query] as usize * h + head])
    };
    let expected = twin::attention([&q, &k, &v], [l, l, h, d], 1.0, bias);
    close("out", &found[0], &expected, SUMS)
}

/// A key that counts as 490 and one that counts as none, against all of them written out.
fn counted(gpu: &kinora::gpu::Gpu) -> Result<(), Failed> {
    let (lq, lk, h, d, times) = (11, 9, 2, 12, 490);
    let [q, k, v] = [
        values(1, lq * h * d),
        values(2, lk * h * d),
        values(3, lk * h * d),
    ];
    let mut bias = vec![0.0; lk];
    bias[lk - 2] = (times as f32).ln();
    bias[lk - 1] = -1e30;
    let found = Run::new(gpu)
        .input("q", Input::F32(&q))
        .input("k", Input::F32(&k))
        .input("v", Input::F32(&v))
        .input("bias", Input::F32(&bias))
        .record(|rec, _| {
            let q = rec.input("q", [lq, h * d], DType::F32)?;
            let k = rec.input("k", [lk, h * d], DType::F32)?;
            let v = rec.input("v", [lk, h * d], DType::F32)?;
            let bias = rec.input("bias", [lk], DType::F32)?;
            let shape = AttentionShape {
                heads: h,
                head_size: d,
                scale: 0.3,
            };
            let (q, k, v) = ((&q).into(), (&k).into(), (&v).into());
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
    let (k, v) = (written_out(&k), written_out(&v));
    let sizes = [lq, lk - 2 + times, h, d];
    let expected = twin::attention([&q, &k, &v], sizes, f64::from(0.3f32), |_, _, _| 0.0);
    close("out", &found[0], &expected, SUMS)
}

/// q, k and v in the columns of one fused projection.
fn columns(gpu: &kinora::gpu::Gpu) -> Result<(), Failed> {
    let (l, h, d) = (21, 2, 24);
    let width = h * d;
    let fused = values(5, l * 3 * width);
    let found = Run::new(gpu)
        .input("qkv", Input::F32(&fused))
        .record(|rec, _| {
            let qkv = rec.input("qkv", [l, 3 * width], DType::F32)?;
            let part = |i: usize| Heads {
                tensor: &qkv,
                first: i * width,
            };
            let shape = AttentionShape {
                heads: h,
                head_size: d,
                scale: 0.25,
            };
            Ok(vec![attention(
                rec,
                part(0),
                part(1),
                part(2),
                shape,
                Bias::None,
            )?])
        })?;
    let part = |i: usize| -> Vec<f32> {
        fused
            .chunks(3 * width)
            .flat_map(|row| row[i * width..(i + 1) * width].to_vec())
            .collect()
    };
    let [q, k, v] = [0, 1, 2].map(part);
    let expected = twin::attention([&q, &k, &v], [l, l, h, d], 0.25, |_, _, _| 0.0);
    close("out", &found[0], &expected, SUMS)
}

/// Scores of hundreds, rising with the key: the running maximum moves in every group.
fn large(gpu: &kinora::gpu::Gpu) -> Result<(), Failed> {
    let (lq, lk, d) = (9, 43, 8);
    let q: Vec<f32> = values(6, lq * d).iter().map(|v| v + 3.0).collect();
    let k: Vec<f32> = values(7, lk * d)
        .iter()
        .enumerate()
        .map(|(i, v)| v + (i / d) as f32)
        .collect();
    let v = values(8, lk * d);
    let found = Run::new(gpu)
        .input("q", Input::F32(&q))
        .input("k", Input::F32(&k))
        .input("v", Input::F32(&v))
        .record(|rec, _| {
            let q = rec.input("q", [lq, d], DType::F32)?;
            let k = rec.input("k", [lk, d], DType::F32)?;
            let v = rec.input("v", [lk, d], DType::F32)?;
            let shape = AttentionShape {
                heads: 1,
                head_size: d,
                scale: 1.0,
            };
            Ok(vec![attention(
                rec,
                (&q).into(),
                (&k).into(),
                (&v).into(),
                shape,
                Bias::None,
            )?])
        })?;
    // A score of 1,000 carries an error of 1e-4 in f32, and so does its exponential.
    let expected = twin::attention([&q, &k, &v], [lq, lk, 1, d], 1.0, |_, _, _| 0.0);
    let tolerance = crate::harness::compare::Tolerance {
        nmse: 1e-7,
        max: 1e-3,
    };
    close("out", &found[0], &expected, tolerance)
}

/// On a device that can bind some heads of the keys, or some of the queries: the same bits.
fn small_bindings(
    gpu: &kinora::gpu::Gpu,
    [lq, lk, h, d]: [usize; 4],
    limit: u64,
) -> Result<(), Failed> {
    let [q, k, v] = [
        values(1, lq * h * d),
        values(2, lk * h * d),
        values(3, lk * h * d),
    ];
    let run = |caps: &kinora::record::Caps| {
        let run = Run::new(gpu)
            .input("q", Input::F32(&q))
            .input("k", Input::F32(&k))
            .input("v", Input::F32(&v));
        run.record_for(caps, |rec, _| {
            let q = rec.input("q", [lq, h * d], DType::F32)?;
            let k = rec.input("k", [lk, h * d], DType::F32)?;
            let v = rec.input("v", [lk, h * d], DType::F32)?;
            let shape = AttentionShape {
                heads: h,
                head_size: d,
                scale: 0.25,
            };
            Ok(vec![attention(
                rec,
                (&q).into(),
                (&k).into(),
                (&v).into(),
                shape,
                Bias::None,
            )?])
        })
    };
    let small = kinora::record::Caps {
        max_binding_bytes: limit,
        ..gpu.caps().clone()
    };
    if run(&small)? != run(gpu.caps())? {
        return Err("the result changes with the device's limits".into());
    }
    Ok(())
}
