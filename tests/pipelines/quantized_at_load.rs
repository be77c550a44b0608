//! A model whose matrices are held in smaller types, at load and by `convert`: the fixture's clip
//! within what each type explains.

use kinora::gpu::Gpu;
use kinora::model_files::ModelFolder;
use kinora::model_files::convert::convert;
use kinora::model_files::matrices::is_block_matrix;
use kinora::tensor::DType;
use kinora::{Cancel, Engine, Request};
use libtest_mimic::{Failed, Trial};

use crate::harness::compare::relative_l2;
use crate::harness::device_test;

/// How far from the fixture's own f32 its latents may be: two to three times what was measured. A
/// bit less of fraction doubles what f16, with 11, moves them by: bf16 has 8, e4m3 4, Q8_0 7 of a
/// block's largest, Q4_0 3 of it. Rows of 56 and 72 are no whole blocks and stay f32.
const TYPES: [(DType, f64); 5] = [
    (DType::F16, 2e-3),
    (DType::BF16, 2e-2),
    (DType::F8E4M3, 3e-1),
    (DType::Q8_0, 3e-2),
    (DType::Q4_0, 5e-1),
];

pub fn trials() -> Vec<Trial> {
    let cases = ["wan21", "ti2v"].into_iter().flat_map(|kind| {
        TYPES.map(|(dtype, bound)| {
            device_test(format!("quantized at load/{kind}/{dtype}"), move |gpu| {
                quantized(gpu, kind, dtype, bound)
            })
        })
    });
    cases.collect()
}

fn latents(engine: &Engine, request: &Request) -> Result<Vec<f32>, Failed> {
    let mut job = engine.prepare(request)?;
    Ok(job.sample(&mut |_| {}, &Cancel::new())?.values)
}

/// How many of the transformer's tensors have the type, and of its blocks' matrices do not.
fn count(folder: &ModelFolder, dtype: DType) -> Result<[usize; 2], Failed> {
    let checkpoint = folder.checkpoint("transformer")?;
    let (mut with, mut without) = (0, 0);
    for name in checkpoint.names() {
        let shape = checkpoint.shape_of(name).unwrap_or_default();
        if checkpoint.dtype_of(name) == Some(dtype) {
            with += 1;
        } else if is_block_matrix(name, shape) {
            without += 1;
        }
    }
    Ok([with, without])
}

fn quantized(gpu: &Gpu, kind: &str, dtype: DType, bound: f64) -> Result<(), Failed> {
    let fixture = crate::own_fixtures().join(kind);
    let (engine, request) = crate::open(gpu, &fixture)?;
    let exact = latents(&engine, &request)?;
    let folder = ModelFolder::open(fixture.join("model"))?;

    let at_load = folder.clone().quantized(dtype);
    // Two blocks of ten matrices, of which two have rows of ffn_dim.
    let expected = if dtype.block() > 1 { [18, 2] } else { [20, 0] };
    if count(&at_load, dtype)? != expected {
        return Err(format!("{:?} of {expected:?}", count(&at_load, dtype)?).into());
    }
    let engine = Engine::new(gpu.clone(), at_load)?;
    let loaded = latents(&engine, &request)?;
    let distance = relative_l2(&loaded, &exact);
    println!("  {dtype}: {distance:.1e} from f32");
    if !(bound / 20.0..bound).contains(&distance) {
        return Err(format!("{dtype}: {distance:.1e} from f32, expected up to {bound:.0e}").into());
    }

    let dir = tempfile::tempdir()?;
    let out = dir.path().join("converted");
    convert(&folder, dtype, &out, &mut |_| true)?;
    let converted = ModelFolder::open(&out)?;
    let engine = Engine::new(gpu.clone(), converted)?;
    let found = latents(&engine, &request)?;
    let distance = relative_l2(&found, &loaded);
    let wide = matches!(dtype, DType::F16 | DType::BF16);
    // To types in blocks and 8 bits only what the option quantizes goes: the same bits.
    if distance > if wide { bound } else { 0.0 } {
        return Err(format!("converted to {dtype}: {distance:.1e} from quantized at load").into());
    }
    let left: Vec<_> = std::fs::read_dir(dir.path())?.flatten().collect();
    if left.len() != 1 {
        return Err(format!("{left:?}").into());
    }
    Ok(())
}
