//! Kernels at the shapes of the released models, on the device at hand.
//!
//! Elements a second are floating-point operations a second. `KINORA_BENCH_ALL=1` runs the large
//! shapes on software devices too.

#![allow(
    missing_docs,
    reason = "criterion's macros make an item without a doc comment"
)]

use std::collections::HashMap;
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use kinora::gpu::{Bound, Cancel, Gpu, GpuOptions, Plan, Stream};
use kinora::ops::attention::{AttentionShape, Bias, attention};
use kinora::ops::conv3d::{Conv, conv3d};
use kinora::ops::matmul::{Epilogue, matmul};
use kinora::record::{DeviceClass, Kind, Pack, Recorder};
use kinora::tensor::DType;

/// What one bench records.
enum Case {
    /// Rows, columns, depth.
    Matmul(DType, [usize; 3]),
    /// Heads, queries, keys, head size.
    Attention([usize; 4]),
    /// Channels in, channels out, frames, height, width; a kernel of 3x3x3.
    Conv3d(DType, [usize; 5]),
}

const CASES: &[(&str, Case)] = &[
    (
        "matmul/f32/1024x1536x1536",
        Case::Matmul(DType::F32, [1024, 1536, 1536]),
    ),
    (
        "matmul/f16/1024x1536x1536",
        Case::Matmul(DType::F16, [1024, 1536, 1536]),
    ),
    (
        "matmul/bf16/1024x1536x1536",
        Case::Matmul(DType::BF16, [1024, 1536, 1536]),
    ),
    (
        "matmul/bf16/wan1.3b_480p_qkv",
        Case::Matmul(DType::BF16, [32_760, 1536, 1536]),
    ),
    (
        "matmul/bf16/wan1.3b_480p_mlp_up",
        Case::Matmul(DType::BF16, [32_760, 8960, 1536]),
    ),
    (
        "attention/f32/12x1024x1024x128",
        Case::Attention([12, 1024, 1024, 128]),
    ),
    (
        "attention/f32/wan1.3b_480p",
        Case::Attention([12, 32_760, 32_760, 128]),
    ),
    (
        "attention/f32/wan2.1_vae_480p",
        Case::Attention([1, 6240, 6240, 384]),
    ),
    (
        "conv3d/f16/96x96x3x3x3_4x64x64",
        Case::Conv3d(DType::F16, [96, 96, 4, 64, 64]),
    ),
    (
        "conv3d/f16/wan2.1_vae_96ch_480p",
        Case::Conv3d(DType::F16, [96, 96, 4, 480, 832]),
    ),
    (
        "conv3d/f16/wan2.1_vae_384ch_60p",
        Case::Conv3d(DType::F16, [384, 384, 1, 60, 104]),
    ),
];

/// Operations that a software device does in about a second.
const SMALL: u64 = 12_000_000_000;

fn record(rec: &mut Recorder<'_>, case: &Case) -> Result<(), kinora::Error> {
    match *case {
        Case::Matmul(dtype, [m, n, k]) => {
            let x = rec.input("x", [m, k], DType::F32)?;
            let w = rec.weight("w", [n, k], dtype, Pack::Matrix)?;
            matmul(rec, &x, &w, Epilogue::None, None)?;
        }
        Case::Attention([heads, queries, keys, head_size]) => {
            let q = rec.input("q", [queries, heads * head_size], DType::F32)?;
            let k = rec.input("k", [keys, heads * head_size], DType::F32)?;
            let v = rec.input("v", [keys, heads * head_size], DType::F32)?;
            let scale = (head_size as f32).sqrt().recip();
            let shape = AttentionShape {
                heads,
                head_size,
                scale,
            };
            attention(
                rec,
                (&q).into(),
                (&k).into(),
                (&v).into(),
                shape,
                Bias::None,
            )?;
        }
        Case::Conv3d(dtype, [inputs, outputs, t, h, w]) => {
            let x = rec.input("x", [t, h, w, inputs], DType::F32)?;
            let past = rec.state("past", [2, h, w, inputs], DType::F32)?;
            let weight = rec.weight("w", [outputs, inputs, 3, 3, 3], dtype, Pack::Conv)?;
            conv3d(rec, &x, &Conv::causal(&weight, &past), Epilogue::None)?;
        }
    }
    Ok(())
}

fn prepare(gpu: &Gpu, case: &Case) -> Result<(Plan, Bound), kinora::Error> {
    let mut rec = Recorder::new(gpu.caps());
    record(&mut rec, case)?;
    let recording = rec.finish();
    let plan = Plan::new(gpu, &[&recording])?;
    let mut buffers = HashMap::new();
    for (_, info) in recording
        .iter()
        .filter(|(_, info)| info.kind != Kind::Intermediate)
    {
        buffers.insert(info.name.clone(), gpu.buffer(&info.name, info.bytes())?);
    }
    let bound = plan.bind(0, &|info| buffers.get(&info.name).cloned())?;
    Ok((plan, bound))
}

fn flops(case: &Case) -> u64 {
    match *case {
        Case::Matmul(_, [m, n, k]) => 2 * (m * n * k) as u64,
        Case::Attention([h, q, k, d]) => 4 * (h * q * k * d) as u64,
        Case::Conv3d(_, [i, o, t, h, w]) => 54 * (i * o * t * h * w) as u64,
    }
}

fn time(gpu: &Gpu, bound: &Bound, runs: u64) -> Result<Duration, kinora::Error> {
    let mut stream = Stream::new(gpu, &Cancel::new());
    let start = Instant::now();
    for _ in 0..runs {
        stream.run(bound)?;
    }
    stream.finish()?;
    Ok(start.elapsed())
}

fn kernels(criterion: &mut Criterion) {
    let gpu = match Gpu::open(&GpuOptions::default()) {
        Ok(gpu) => gpu,
        Err(error) => return eprintln!("{error}"),
    };
    let all = std::env::var_os("KINORA_BENCH_ALL").is_some();
    let software = gpu.caps().class == DeviceClass::Software;
    eprintln!("{} ({})", gpu.caps().name, gpu.caps().driver);
    for (name, case) in CASES {
        let work = flops(case);
        if software && work > SMALL && !all {
            eprintln!(
                "{name}: {:.0} GFLOP, left out on a software device",
                work as f64 / 1e9
            );
            continue;
        }
        let bound = match prepare(&gpu, case) {
            Ok((_, bound)) => bound,
            Err(error) => {
                eprintln!("{name}: {error}");
                continue;
            }
        };
        let mut group = criterion.benchmark_group("kernels");
        group.throughput(Throughput::Elements(work));
        group.sampling_mode(SamplingMode::Flat).sample_size(10);
        group.bench_function(*name, |bencher| {
            bencher.iter_custom(|runs| match time(&gpu, &bound, runs) {
                Ok(elapsed) => elapsed,
                Err(error) => {
                    eprintln!("{name}: {error}");
                    Duration::from_secs(1)
                }
            });
        });
        group.finish();
    }
}

criterion_group!(benches, kernels);
criterion_main!(benches);
