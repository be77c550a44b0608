//! Single files in 8 bits with scales and in NVFP4, as ComfyUI has them, and GGUF files in each of its
//! types: the clip of the numbers that they hold.
//!
//! K-quants have blocks of 256, which the fixtures' rows are too short for: this model's are as long.

use std::fs;
use std::path::Path;

use kinora::gpu::Gpu;
use kinora::model_files::{ModelFolder, PartFiles};
use kinora::tensor::DType;
use kinora::weights::{GgufHeader, TensorView as WeightView};
use kinora::{Cancel, Engine};
use libtest_mimic::{Failed, Trial};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::harness::compare::relative_l2;
use crate::harness::data::{stored, values};
use crate::harness::device_test;
use crate::saved::{Model, Tensors, store};

/// Every row of this model's matrices.
const WIDTH: usize = 256;

/// A part of a matrix's name, and the type of the matrices that have it.
type Exception = Option<(&'static str, DType)>;

/// What a file's matrices are in, and how far from f32 that may bring the latents: three times as far
/// as it does, which halves with each bit. The second type is of some of the transformer's, as
/// converters have it: Wan's "Q4_0" files hold Q4_1, "Q2_K" files Q3_K.
const TYPES: [(DType, Exception, f64); 13] = [
    (DType::F8E4M3, None, 0.09),
    (DType::F8E5M2, None, 0.2),
    (DType::I8, None, 0.03),
    (DType::NVFP4, None, 0.4),
    (DType::Q8_0, None, 0.02),
    (DType::Q6_K, None, 0.06),
    (DType::Q5_0, Some(("ffn.net.2", DType::Q5_1)), 0.14),
    (DType::Q5_K, None, 0.12),
    (DType::Q4_0, Some(("ffn.net.2", DType::Q4_1)), 0.27),
    (DType::Q4_K, Some(("attn1.to_v", DType::IQ4_NL)), 0.27),
    (DType::IQ4_XS, Some(("attn1.to_v", DType::Q5_K)), 0.3),
    (DType::Q3_K, Some(("ffn.net.2", DType::Q4_K)), 0.55),
    (DType::Q2_K, Some(("attn1.to_v", DType::Q3_K)), 0.8),
];

/// The types of a file's matrices, by diffusers' names.
#[derive(Clone, Copy)]
struct Types(DType, Option<(&'static str, DType)>);

impl Types {
    fn of(self, name: &str, shape: &[usize]) -> DType {
        match self.1 {
            _ if !is_matrix(shape) => DType::F32,
            Some((part, second)) if name.contains(part) => second,
            _ => self.0,
        }
    }
}

/// How far the latents may be from those of the same numbers in f32.
const SAME: f64 = 1e-5;

pub fn trial() -> Trial {
    device_test("saved/quantised", quantised)
}

fn quantised(gpu: &Gpu) -> Result<(), Failed> {
    let fixture = crate::own_fixtures().join("wan21");
    let small = Model::read(&fixture.join("model"))?;
    let (_, request) = crate::open(gpu, &fixture)?;
    let mut request = small.request(request)?;
    request.steps = Some(3);
    let parts = ["text_encoder", "transformer"].map(|part| (part, wide(part, &small.parts[part])));
    let dir = tempfile::tempdir()?;
    let write = |part: &str, tensors: &Tensors, types: Option<Types>| {
        let dtype = types.map(|types| types.0);
        let file = dir.path().join(format!("{part}-{dtype:?}"));
        let rename = |name: &str| match (part, dtype) {
            ("text_encoder", Some(dtype)) if dtype.format().gguf.is_some() => llama_cpp(name),
            ("text_encoder", _) => name.to_owned(),
            _ => small.original(part, name),
        };
        match types {
            None => safetensors(&file, tensors, &rename).map(|()| file),
            Some(Types(dtype, _)) if dtype.format().gguf.is_none() => {
                scaled(&file, tensors, dtype, &rename).map(|()| file)
            }
            Some(types) => gguf(&file, tensors, types, &rename).map(|()| file),
        }
    };
    let latents = |dtype: Option<Types>, parts: &[(&str, Tensors)]| -> Result<Vec<f32>, Failed> {
        let files = PartFiles {
            text_encoder: Some(write(parts[0].0, &parts[0].1, dtype)?),
            transformer: Some(write(parts[1].0, &parts[1].1, dtype)?),
            image_encoder: None,
            vae: Some(small.folder.join("vae/diffusion_pytorch_model.safetensors")),
            tokenizer: Some(small.folder.join("tokenizer/tokenizer.json")),
            transformer_2: None,
        };
        let engine = Engine::new(gpu.clone(), ModelFolder::of_parts(&files)?)?;
        let mut job = engine.prepare(&request)?;
        Ok(job.sample(&mut |_| {}, &Cancel::new())?.values)
    };
    let exact = latents(None, &parts)?;
    for (dtype, second, bound) in TYPES {
        let types = Types(dtype, second);
        let made = latents(Some(types), &parts)?;
        let rounded = parts
            .each_ref()
            .map(|(part, tensors)| (*part, rounded(tensors, types)));
        let same = relative_l2(&made, &latents(None, &rounded)?);
        let distance = relative_l2(&made, &exact);
        println!("  {dtype:?}: {same:.1e} from its own numbers in f32, {distance:.1e} from f32");
        if same > SAME || distance > bound || distance < 10.0 * SAME {
            return Err(format!("{dtype:?}: {same:.1e} and {distance:.1e}").into());
        }
    }
    Ok(())
}

/// The first block of a part, with wider matrices of random numbers.
fn wide(part: &str, tensors: &Tensors) -> Tensors {
    let first = tensors
        .iter()
        .filter(|(name, ..)| !name.contains("blocks.1.") && !name.contains("block.1."));
    first
        .zip(1..)
        .map(|((name, shape, _), seed)| {
            let keeps = |axis: usize| match (part, name.as_str()) {
                (_, "proj_out.weight" | "shared.weight") => axis == 0,
                (_, "proj_out.bias") => true,
                (_, "patch_embedding.weight") => axis > 0,
                (_, name) if name.ends_with("relative_attention_bias.weight") => true,
                (_, name) if name.ends_with("scale_shift_table") => axis < 2,
                _ => false,
            };
            let wider = |(axis, &extent): (usize, &usize)| match extent {
                _ if keeps(axis) => extent,
                192 => 6 * WIDTH,
                _ => WIDTH,
            };
            let shape: Vec<usize> = shape.iter().enumerate().map(wider).collect();
            let mut numbers = values(seed, shape.iter().product());
            let scale = match shape.as_slice() {
                [_] if name.ends_with("weight") => {
                    // A norm's: about one.
                    numbers
                        .iter_mut()
                        .for_each(|number| *number = 1.0 + 0.1 * *number);
                    1.0
                }
                [_] => 0.1,
                [_, inner @ ..] => (3.0 / inner.iter().product::<usize>() as f32).sqrt(),
                [] => 1.0,
            };
            numbers.iter_mut().for_each(|number| *number *= scale);
            (name.clone(), shape, numbers)
        })
        .collect()
}

fn is_matrix(shape: &[usize]) -> bool {
    matches!(shape, [_, WIDTH])
}

/// The numbers that are left in that type.
fn rounded(tensors: &Tensors, types: Types) -> Tensors {
    let round = |(name, shape, numbers): &(String, Vec<usize>, Vec<f32>)| {
        let numbers = match types.of(name, shape) {
            DType::F32 => numbers.clone(),
            DType::NVFP4 => of_one_scale(numbers, shape).to_f32(),
            dtype => stored(numbers, shape, dtype).to_f32(),
        };
        (name.clone(), shape.clone(), numbers)
    };
    tensors.iter().map(round).collect()
}

fn bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
}

fn safetensors(
    path: &Path,
    tensors: &Tensors,
    rename: &dyn Fn(&str) -> String,
) -> Result<(), Failed> {
    store(path, tensors, Dtype::F32, rename)
}

/// In NVFP4, with one scale for all of a matrix.
fn of_one_scale<'a>(numbers: &[f32], shape: &'a [usize]) -> WeightView<'a> {
    let exact = WeightView::new("w", DType::F32, shape, bytes(numbers));
    exact.quantized(DType::NVFP4).unwrap_or(exact)
}

/// As ComfyUI's scaled files: 8 bits with a scale a row, or NVFP4.
fn scaled(
    path: &Path,
    tensors: &Tensors,
    dtype: DType,
    rename: &dyn Fn(&str) -> String,
) -> Result<(), Failed> {
    let (stored_as, mark) = match dtype {
        DType::F8E4M3 => (Dtype::F8_E4M3, "float8_e4m3fn"),
        DType::F8E5M2 => (Dtype::F8_E5M2, "float8_e5m2"),
        DType::I8 => (Dtype::I8, "int8_tensorwise"),
        _ => (Dtype::U8, "nvfp4"),
    };
    let mut parts = vec![("scaled_fp8".to_owned(), Dtype::F8_E4M3, vec![0], Vec::new())];
    for (name, shape, numbers) in tensors {
        let name = rename(name);
        if !is_matrix(shape) {
            parts.push((name, Dtype::F32, shape.clone(), bytes(numbers)));
            continue;
        }
        let layer = name.strip_suffix("weight").unwrap_or(&name);
        let mark = format!("{{\"format\":\"{mark}\"}}").into_bytes();
        parts.push((
            format!("{layer}comfy_quant"),
            Dtype::U8,
            vec![mark.len()],
            mark,
        ));
        let rows = shape[0];
        if dtype == DType::NVFP4 {
            let view = of_one_scale(numbers, shape);
            let (codes, groups) = nvfp4(&view.bytes, rows);
            let padded = groups.len() / (WIDTH / 16);
            parts.push((name.clone(), stored_as, vec![rows, WIDTH / 2], codes));
            let of_groups = format!("{layer}weight_scale");
            parts.push((of_groups, Dtype::F8_E4M3, vec![padded, WIDTH / 16], groups));
            let of_all = format!("{layer}weight_scale_2");
            parts.push((of_all, Dtype::F32, Vec::new(), bytes(&view.scales)));
            continue;
        }
        let view = stored(numbers, shape, dtype);
        let beside = format!("{layer}weight_scale");
        parts.push((beside, Dtype::F32, vec![rows, 1], bytes(&view.scales)));
        parts.push((name, stored_as, shape.clone(), view.bytes.into_owned()));
    }
    let views = parts
        .iter()
        .map(|(name, dtype, shape, bytes)| {
            Ok((name, TensorView::new(*dtype, shape.clone(), bytes)?))
        })
        .collect::<Result<Vec<_>, Failed>>()?;
    safetensors::serialize_to_file(views, None, path)?;
    Ok(())
}

/// The numbers of blocks of two scales and 16 bytes, and the scales in tiles of 128 rows by 4, a tile
/// four columns of 32 rows side by side.
fn nvfp4(blocks: &[u8], rows: usize) -> (Vec<u8>, Vec<u8>) {
    let across = WIDTH / 16;
    let mut codes = Vec::new();
    let mut groups = vec![0; rows.next_multiple_of(128) * across];
    for (at, block) in blocks.chunks(18).enumerate() {
        let (row, first) = (at * 2 / across, at * 2 % across);
        for (group, &scale) in (first..).zip(&block[..2]) {
            let tile = (row / 128) * (across / 4) + group / 4;
            let (line, column) = (row % 32, row % 128 / 32);
            groups[tile * 512 + line * 16 + column * 4 + group % 4] = scale;
        }
        codes.extend_from_slice(&block[2..]);
    }
    (codes, groups)
}

/// A GGUF file whose matrices are in those types.
fn gguf(
    path: &Path,
    tensors: &Tensors,
    types: Types,
    rename: &dyn Fn(&str) -> String,
) -> Result<(), Failed> {
    let mut header = GgufHeader::new("any");
    let mut data = Vec::new();
    for (name, shape, numbers) in tensors {
        let dtype = types.of(name, shape);
        header.tensor(&rename(name), dtype, shape)?;
        data.extend(&*stored(numbers, shape, dtype).bytes);
        data.resize(data.len() + GgufHeader::padding(data.len()), 0);
    }
    let mut file = header.to_bytes();
    file.extend(data);
    fs::write(path, file)?;
    Ok(())
}

/// llama.cpp's name of a text encoder's tensor.
fn llama_cpp(name: &str) -> String {
    [
        ("shared.", "token_embd."),
        ("encoder.final_layer_norm", "enc.output_norm"),
        ("encoder.block.", "enc.blk."),
        (
            "layer.0.SelfAttention.relative_attention_bias",
            "attn_rel_b",
        ),
        ("layer.0.SelfAttention.", "attn_"),
        ("layer.0.layer_norm", "attn_norm"),
        ("layer.1.layer_norm", "ffn_norm"),
        ("layer.1.DenseReluDense.wi_0", "ffn_gate"),
        ("layer.1.DenseReluDense.wi_1", "ffn_up"),
        ("layer.1.DenseReluDense.wo", "ffn_down"),
    ]
    .iter()
    .fold(name.to_owned(), |name, (new, old)| name.replace(new, old))
}
