//! LoRA: what Kinora makes of a file and what the reference makes of weights that it is merged into.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kinora::error::{AdapterError, ConfigError, WeightsError};
use kinora::gpu::{Cancel, Gpu, Stream};
use kinora::model_files::ModelFolder;
use kinora::model_files::convert::convert;
use kinora::model_files::lora::{Experts, Lora};
use kinora::models::config::TransformerConfig;
use kinora::models::wan_transformer::{
    Residency, Transformer, TransformerPasses, TransformerShape,
};
use kinora::tensor::DType;
use kinora::weights::Checkpoint;
use libtest_mimic::{Failed, Trial};
use safetensors::tensor::{Dtype, TensorView};

use super::harness::compare::relative_l2;
use super::harness::device_test;
use super::{Expected, fixtures, json, read, upload};

pub fn trials() -> Vec<Trial> {
    let loras = ["diffusers", "original", "kohya", "together", "differences"];
    let adapters = [
        "loha",
        "lokr",
        "dora",
        "dora_half",
        "peft_dora",
        "names",
        "all",
    ];
    let loras = loras.map(|case| (LORA, case)).into_iter();
    let cases = loras.chain(adapters.map(|case| (ADAPTERS, case)));
    let mut trials: Vec<Trial> = cases
        .map(|(set, case)| device_test(format!("lora/{case}"), move |gpu| agrees(gpu, set, case)))
        .collect();
    trials.push(device_test("lora/quantised base", |gpu| {
        quantised(gpu, LORA, "diffusers", DType::Q8_0)
    }));
    trials.push(device_test("lora/quantised base, merged", |gpu| {
        quantised(gpu, ADAPTERS, "dora", DType::Q8_0)
    }));
    trials.push(device_test("lora/quantised file, merged", quantised_file));
    trials.push(Trial::test("lora/refused", refused));
    trials.push(Trial::test("lora/experts", experts));
    trials
}

/// Sets of files and of what the reference makes of them.
const LORA: &str = "lora";
pub(super) const ADAPTERS: &str = "adapters";

fn folder() -> PathBuf {
    set(LORA)
}

pub(super) fn set(name: &str) -> PathBuf {
    fixtures().join("parts").join(name)
}

pub(super) fn open(loras: Vec<Lora>) -> Result<ModelFolder, ConfigError> {
    ModelFolder::open(fixtures().join("wan21/model"))?.with_loras(loras)
}

/// The velocity with the LoRAs of a case, resident and streamed, is that of the reference's merged
/// weights; with a strength of 0 it is the model's own.
fn agrees(gpu: &Gpu, set_of: &str, case: &str) -> Result<(), Failed> {
    let folder = || set(set_of);
    let cases = json(&folder().join("cases.json"))?;
    let files = cases[case].as_array().ok_or("no such case")?;
    let loras = |strength: f64| {
        let files = files.iter().map(|file| Lora {
            strength: (strength * file[1].as_f64().unwrap_or(f64::NAN)) as f32,
            ..Lora::new(folder().join(format!("{}.safetensors", file[0].as_str().unwrap_or(""))))
        });
        files.collect::<Vec<_>>()
    };
    let expected = Expected::open(&folder())?;
    let resident = velocity(gpu, loras(1.0), Residency::Resident)?;
    expected.close(case, &resident)?;
    if velocity(gpu, loras(1.0), Residency::Streamed(super::WINDOWS[1]))? != resident {
        return Err("streamed, the velocity is another".into());
    }
    expected.close("none", &velocity(gpu, loras(0.0), Residency::Resident)?)?;
    let distance = relative_l2(&resident, &expected.values("none")?);
    match distance > 0.1 {
        true => Ok(()),
        false => Err(format!("the LoRA moves the velocity by {distance} only").into()),
    }
}

/// A LoRA moves a base in 8 bits as far as it moves one in f32: what is left is the base's own
/// rounding.
fn quantised(gpu: &Gpu, set_of: &str, case: &str, dtype: DType) -> Result<(), Failed> {
    let folder_of = || set(set_of);
    let expected = Expected::open(&folder_of())?;
    let run = |loras| {
        let folder = open(loras)?.quantized(dtype);
        let stored = folder.checkpoint("transformer")?;
        if stored.dtype_of("blocks.0.attn1.to_q.weight") != Some(dtype) {
            return Err("the base is not quantised".into());
        }
        velocity_of(gpu, &folder, Residency::Resident)
    };
    let without = relative_l2(&run(Vec::new())?, &expected.values("none")?);
    let file = folder_of().join(format!("{case}.safetensors"));
    let with = relative_l2(&run(vec![Lora::new(file)])?, &expected.values(case)?);
    match (1e-6..0.03).contains(&without) && with < 2.0 * without {
        true => Ok(()),
        false => Err(format!("{without:.1e} off without the LoRA, {with:.1e} with it").into()),
    }
}

/// The same of a file in 8 bits, whose merged matrices are bf16: resident as streamed, and counted in
/// the bytes of the weights.
fn quantised_file(gpu: &Gpu) -> Result<(), Failed> {
    let temporary = tempfile::tempdir()?;
    let out = temporary.path().join("q8_0");
    convert(&open(Vec::new())?, DType::Q8_0, &out, &mut |_| true)?;
    let base = ModelFolder::open(&out)?;
    let lora = Lora::new(set(ADAPTERS).join("dora.safetensors"));
    let merged = base.clone().with_loras(vec![lora])?;
    let expected = Expected::open(&set(ADAPTERS))?;
    let without = velocity_of(gpu, &base, Residency::Resident)?;
    let without = relative_l2(&without, &expected.values("none")?);
    let resident = velocity_of(gpu, &merged, Residency::Resident)?;
    if velocity_of(gpu, &merged, Residency::Streamed(super::WINDOWS[1]))? != resident {
        return Err("streamed, the velocity is another".into());
    }
    let with = relative_l2(&resident, &expected.values("dora")?);
    if !(1e-6..0.03).contains(&without) || with.is_nan() || with >= 2.0 * without {
        return Err(format!("{without:.1e} off without it, {with:.1e} with it").into());
    }
    let bytes = |folder: &ModelFolder| -> Result<u64, Failed> {
        let config = folder.config()?.transformer;
        let shape = TransformerShape {
            latents: [config.in_channels, 1, 4, 4],
            text_length: 512,
            text_rows: TransformerShape::text_rows(8, 512),
            timesteps: 1,
        };
        let checkpoint = folder.checkpoint("transformer")?;
        let passes = TransformerPasses::record(gpu.caps(), &config, &checkpoint, shape)?;
        Ok(passes.memory(Residency::Resident, 1).0)
    };
    if bytes(&merged)? <= bytes(&base)? {
        return Err("the plan does not count the merged matrices".into());
    }
    Ok(())
}

/// One pass of the fixture with LoRAs.
fn velocity(gpu: &Gpu, loras: Vec<Lora>, residency: Residency) -> Result<Vec<f32>, Failed> {
    velocity_of(gpu, &open(loras)?, residency)
}

fn velocity_of(gpu: &Gpu, folder: &ModelFolder, residency: Residency) -> Result<Vec<f32>, Failed> {
    let expected = Expected::open(&fixtures().join("wan21"))?;
    let config: TransformerConfig = folder.config()?.transformer;
    let checkpoint = Arc::new(folder.checkpoint("transformer")?);
    let sample = expected.values("forward.sample_in")?;
    let shape = expected.0.shape_of("forward.sample_in").unwrap_or_default();
    let text = expected.values("forward.text")?;
    let shape = TransformerShape {
        latents: shape[1..].try_into()?,
        text_length: 512,
        text_rows: TransformerShape::text_rows(text.len() / config.text_dim, 512),
        timesteps: 1,
    };
    let passes = TransformerPasses::record(gpu.caps(), &config, &checkpoint, shape)?;
    let transformer = Transformer::new(gpu, passes, checkpoint, residency)?;
    let mut stream = Stream::new(gpu, &Cancel::new());
    let context = transformer.context(&mut stream, &text)?;
    let input = upload(gpu, &sample)?;
    let output = upload(gpu, &vec![0.0; sample.len()])?;
    let timesteps = expected.values("forward.timestep")?;
    transformer.forward(&mut stream, &timesteps, &input, &context, &output)?;
    stream.finish()?;
    read(gpu, &output, sample.len())
}

/// A safetensors file of tensors that hold 0.25.
pub(super) fn write(file: &Path, tensors: &[(&str, &[usize])]) -> Result<(), Failed> {
    let bytes = 0.25_f32.to_le_bytes().repeat(4096);
    let views = tensors.iter().map(|&(name, shape)| {
        let bytes = &bytes[..4 * shape.iter().product::<usize>()];
        let view = TensorView::new(Dtype::F32, shape.to_vec(), bytes);
        view.map(|view| (name, view))
    });
    let views = views.collect::<Result<Vec<_>, _>>()?;
    Ok(std::fs::write(file, safetensors::serialize(views, None)?)?)
}

/// Writes a LoRA of f32 tensors and applies it; gives the sentence that refuses it.
fn refusal(folder: &Path, tensors: &[(&str, &[usize])]) -> Result<AdapterError, Failed> {
    let file = folder.join("lora.safetensors");
    write(&file, tensors)?;
    match open(vec![Lora::new(&file)])?.checkpoint("transformer") {
        Err(WeightsError::Adapter(refusal)) => Ok(refusal),
        Err(other) => Err(format!("another error: {other}").into()),
        Ok(_) => Err(format!("{tensors:?} was applied").into()),
    }
}

/// A file's tensors, what refuses it, and words of the sentence.
type Refused<'t> = (
    &'t [(&'t str, &'t [usize])],
    fn(&AdapterError) -> bool,
    &'t str,
);

fn refused() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let refusal = |tensors: &[(&str, &[usize])]| refusal(folder.path(), tensors);
    let down = "blocks.0.attn1.to_q.lora_A.weight";
    let up = "blocks.0.attn1.to_q.lora_B.weight";
    let cases: [Refused<'_>; 17] = [
        (
            &[("lora_unet_down_blocks_0.lora_up.weight", &[4, 4])],
            |e| matches!(e, AdapterError::NothingMatches { .. }),
            "the model's layers are blocks.0.",
        ),
        (
            &[
                (down, &[4, 32]),
                (up, &[32, 4]),
                ("blocks.7.attn1.to_q.lora_A.weight", &[4, 32]),
            ],
            |e| matches!(e, AdapterError::NoSuchLayer { count: 1, .. }),
            "blocks.7.attn1.to_q",
        ),
        (
            &[(down, &[4, 32])],
            |e| matches!(e, AdapterError::Incomplete { .. }),
            "blocks.0.attn1.to_q",
        ),
        (
            &[
                (down, &[4, 32]),
                (up, &[32, 4]),
                ("transformer.blocks.0.attn1.to_q.lora_down.weight", &[4, 32]),
            ],
            |e| matches!(e, AdapterError::Twice { .. }),
            "twice",
        ),
        (
            &[(down, &[4, 48]), (up, &[32, 4])],
            |e| matches!(e, AdapterError::Shape { .. }),
            "is [32, 32] in this model",
        ),
        (
            &[("blocks.0.attn1.to_q.oft_blocks", &[4, 32])],
            |e| matches!(e, AdapterError::Method { .. }),
            "OFT",
        ),
        (
            &[("blocks.0.attn1.to_q.hada_t1", &[4, 4, 1, 1])],
            |e| matches!(e, AdapterError::Method { .. }),
            "Tucker",
        ),
        (
            &[("blocks.0.attn1.to_q.hada_w1_a", &[32, 4])],
            |e| matches!(e, AdapterError::Incomplete { .. }),
            "blocks.0.attn1.to_q",
        ),
        // Magnitudes of nothing.
        (
            &[("blocks.0.attn1.to_q.dora_scale", &[32, 1])],
            |e| matches!(e, AdapterError::Incomplete { .. }),
            "blocks.0.attn1.to_q",
        ),
        (
            &[
                (down, &[4, 32]),
                (up, &[32, 4]),
                ("blocks.0.attn1.to_q.dora_scale", &[1, 31]),
            ],
            |e| matches!(e, AdapterError::Shape { .. }),
            "[1, 31]",
        ),
        (
            &[
                ("blocks.0.attn1.to_q.lokr_w1", &[4, 4]),
                ("blocks.0.attn1.to_q.lokr_w2", &[8, 7]),
            ],
            |e| matches!(e, AdapterError::Shape { .. }),
            "[8, 7]",
        ),
        (
            &[
                ("blocks.0.attn1.to_q.lokr_w1", &[4, 4]),
                ("blocks.0.attn1.to_q.lokr_w1_a", &[4, 2]),
                ("blocks.0.attn1.to_q.lokr_w1_b", &[2, 4]),
                ("blocks.0.attn1.to_q.lokr_w2", &[8, 8]),
            ],
            |e| matches!(e, AdapterError::Twice { .. }),
            "lokr_w1_a",
        ),
        (
            &[
                (down, &[4, 32]),
                (up, &[32, 4]),
                ("blocks.0.attn1.to_q.lokr_w2", &[8, 8]),
            ],
            |e| matches!(e, AdapterError::Twice { .. }),
            "lokr_w2",
        ),
        // An image's layers of a block that the model lacks, and nothing but an image's layers.
        (
            &[
                (down, &[4, 32]),
                (up, &[32, 4]),
                ("blocks.7.attn2.add_k_proj.lora_A.weight", &[4, 32]),
            ],
            |e| matches!(e, AdapterError::NoSuchLayer { count: 1, .. }),
            "blocks.7.attn2.add_k_proj",
        ),
        (
            &[("blocks.0.attn2.add_k_proj.lora_A.weight", &[4, 32])],
            |e| matches!(e, AdapterError::NothingMatches { .. }),
            "add_k_proj",
        ),
        (
            &[("transformer_2.blocks.0.attn1.to_q.diff", &[32, 32])],
            |e| matches!(e, AdapterError::TwoExperts { .. }),
            "one transformer",
        ),
        (
            &[("blocks.0.attn1.to_q.diff_b", &[31])],
            |e| matches!(e, AdapterError::Shape { .. }),
            "[31]",
        ),
    ];
    for (tensors, is_it, words) in cases {
        let found = refusal(tensors)?;
        let text = found.to_string();
        if !is_it(&found) || !text.contains(words) {
            return Err(format!("{tensors:?}: {text}").into());
        }
    }
    let strength = Lora {
        strength: f32::NAN,
        ..Lora::new("any")
    };
    match open(vec![strength]) {
        Err(ConfigError::Weights(WeightsError::Adapter(AdapterError::Strength { .. }))) => Ok(()),
        other => Err(format!("a strength of NaN: {other:?}").into()),
    }
}

/// A model with two transformers takes a LoRA for one of them; one with one does not.
fn experts() -> Result<(), Failed> {
    let lora = |experts| Lora {
        experts,
        ..Lora::new(folder().join("original.safetensors"))
    };
    match open(vec![lora(Experts::Low)]) {
        Err(ConfigError::Weights(WeightsError::Adapter(AdapterError::NoExperts { .. }))) => {}
        other => return Err(format!("an expert of a model without: {other:?}").into()),
    }
    let temporary = tempfile::tempdir()?;
    let file = temporary.path().join("lora.safetensors");
    let two = ModelFolder::open(fixtures().join("a14b/model"))?;
    let dim = two.config()?.transformer.dim();
    let [down, up] = ["A", "B"].map(|m| format!("transformer.blocks.0.attn1.to_q.lora_{m}.weight"));
    write(&file, &[(&down, &[4, dim]), (&up, &[dim, 4])])?;
    for (experts, changed) in [
        (Experts::All, [true, true]),
        (Experts::High, [true, false]),
        (Experts::Low, [false, true]),
    ] {
        let lora = Lora {
            experts,
            ..Lora::new(&file)
        };
        let folder = two.clone().with_loras(vec![lora])?;
        let has = |part| -> Result<bool, WeightsError> {
            let checkpoint: Checkpoint = folder.checkpoint(part)?;
            Ok(checkpoint.contains("blocks.0.attn1.to_q.low_rank_up"))
        };
        let found = [has("transformer")?, has("transformer_2")?];
        if found != changed {
            return Err(format!("{experts:?}: {found:?}").into());
        }
    }
    Ok(())
}
