//! Transformers that see images: a condition beside the latents, and image tokens beside the text.

use std::sync::Arc;

use kinora::error::{Error, ModelError};
use kinora::gpu::{Cancel, Gpu, Stream};
use kinora::models::config::TransformerConfig;
use kinora::models::wan_transformer::{
    Residency, Transformer, TransformerPasses, TransformerShape,
};
use kinora::tensor::DType;
use kinora::weights::{Checkpoint, SafetensorsHeader};
use libtest_mimic::{Failed, Trial};

use super::harness::data::values;
use super::harness::device_test;
use super::transformer::{forward, opened};
use super::{WINDOWS, fixtures, read, upload};

/// Fixture, and its image tokens.
const KINDS: [(&str, usize); 2] = [("sees_one", 5), ("sees_two", 10)];

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![device_test("forward/image refusals", refusals)];
    for (kind, rows) in KINDS {
        let name = format!("forward/{kind}");
        trials.push(device_test(name, move |gpu| everywhere(gpu, kind)));
        let name = format!("forward/planned memory/{kind}");
        trials.push(device_test(name, move |gpu| planned(gpu, kind, rows)));
    }
    trials.push(Trial::test("transformer variants", variants));
    trials
}

/// The reference's pass, with the same bits wherever the weights are.
fn everywhere(gpu: &Gpu, kind: &str) -> Result<(), Failed> {
    let folder = fixtures().join("parts").join(kind);
    let model = folder.join("transformer");
    let run = |residency| forward(gpu, &model, &folder, 512, residency);
    let resident = run(Residency::Resident)?;
    let windows = WINDOWS.map(Residency::Streamed);
    for residency in [Residency::Minimal].into_iter().chain(windows) {
        let other = run(residency)?;
        let mut pairs = resident.iter().zip(&other);
        if resident.len() != other.len() || !pairs.all(|(a, b)| a.to_bits() == b.to_bits()) {
            return Err(format!("{residency:?}: the pass differs from the resident one").into());
        }
    }
    Ok(())
}

fn shape(config: &TransformerConfig) -> TransformerShape {
    TransformerShape {
        latents: [config.in_channels, 3, 4, 6],
        text_length: 16,
        text_rows: 6,
        timesteps: 1,
    }
}

/// The device memory of every residency with two prompts, to the byte; another picture changes what
/// follows, and the first one again gives the first result.
fn planned(gpu: &Gpu, kind: &str, rows: usize) -> Result<(), Failed> {
    let (config, checkpoint) = opened(&fixtures().join("parts").join(kind).join("transformer"))?;
    let shape = shape(&config);
    let sample = values(1, shape.latents.iter().product());
    let text = values(2, 5 * config.text_dim);
    let width = config.image_dim.unwrap_or(0);
    let images = [values(3, rows * width), values(4, rows * width)];
    let count = sample.len() / config.in_channels * config.out_channels;
    let (input, output) = (upload(gpu, &sample)?, upload(gpu, &vec![0.0; count])?);
    for residency in [
        Residency::Resident,
        Residency::Minimal,
        Residency::Streamed(WINDOWS[2]),
    ] {
        let caps = gpu.caps();
        let passes = TransformerPasses::record_seeing(caps, &config, &checkpoint, shape, rows)?;
        let (weights, working) = passes.memory(residency, 2);
        let before = gpu.memory().current;
        gpu.reset_peak();
        let transformer = Transformer::new(gpu, passes, checkpoint.clone(), residency)?;
        let mut stream = Stream::new(gpu, &Cancel::new());
        transformer.set_image(&mut stream, &images[0])?;
        let context = transformer.context(&mut stream, &text)?;
        let _other = transformer.context(&mut stream, &text[..config.text_dim])?;
        let mut found = Vec::new();
        for image in [None, Some(&images[1]), Some(&images[0])] {
            if let Some(image) = image {
                transformer.set_image(&mut stream, image)?;
            }
            transformer.forward(&mut stream, &[500.0], &input, &context, &output)?;
            stream.finish()?;
            // Reading back has its own buffer, which the plan leaves to its caller.
            if image.is_some() {
                continue;
            }
            let (peak, said) = (gpu.memory().peak - before, weights + working);
            if peak != said {
                return Err(format!("{residency:?}: {peak} bytes, planned were {said}").into());
            }
        }
        for image in [&images[0], &images[1], &images[0]] {
            transformer.set_image(&mut stream, image)?;
            transformer.forward(&mut stream, &[500.0], &input, &context, &output)?;
            stream.finish()?;
            found.push(read(gpu, &output, count)?);
        }
        if found[0] == found[1] || found[0] != found[2] {
            return Err(format!("{residency:?}: a picture does not decide what it should").into());
        }
    }
    Ok(())
}

fn refusals(gpu: &Gpu) -> Result<(), Failed> {
    let sentence = |error: Error| error.to_string();
    for (kind, rows, expected) in [
        ("sees_one", 0, "0 image tokens, expected those of a picture"),
        (
            "sees_two",
            5,
            "5 image tokens, expected 10, pos_embed_seq_len",
        ),
        (
            "no_cross_norm",
            5,
            "5 image tokens, expected none, since image_dim is null",
        ),
    ] {
        let folder = fixtures().join("parts").join(kind).join("transformer");
        let (config, checkpoint) = opened(&folder)?;
        let shape = shape(&config);
        let found = TransformerPasses::record_seeing(gpu.caps(), &config, &checkpoint, shape, rows);
        let found = found.map_or_else(sentence, |_| "nothing".to_owned());
        if !found.contains(expected) {
            return Err(format!("{kind}: {found}").into());
        }
    }
    let folder = fixtures().join("parts/sees_one/transformer");
    let (config, checkpoint) = opened(&folder)?;
    let (caps, shape) = (gpu.caps(), shape(&config));
    let passes = TransformerPasses::record_seeing(caps, &config, &checkpoint, shape, 5)?;
    let transformer = Transformer::new(gpu, passes, checkpoint, Residency::Resident)?;
    let mut stream = Stream::new(gpu, &Cancel::new());
    let text = values(2, config.text_dim);
    let early = transformer.context(&mut stream, &text).map(drop);
    let early = early.map_or_else(sentence, |()| "nothing".to_owned());
    if !early.contains("0 image tokens, expected 5, before a prompt") {
        return Err(early.into());
    }
    match transformer.set_image(&mut stream, &text) {
        Err(Error::Model(ModelError::Length { found: 12, .. })) => Ok(()),
        found => Err(format!("{found:?}").into()),
    }
}

/// Models of the family that are not built are refused by their names, whatever else they hold.
fn variants() -> Result<(), Failed> {
    let folder = fixtures().join("parts/no_cross_norm/transformer");
    let (config, _) = opened(&folder)?;
    for (tensor, model) in [
        ("vace_blocks.0.proj_in.weight", "Wan VACE"),
        ("control_adapter.conv.weight", "Wan Fun-Camera"),
        ("ref_conv.weight", "Wan Fun-Control"),
        (
            "face_adapter.fuser_blocks.0.linear1_q.weight",
            "Wan 2.2 Animate",
        ),
        ("audio_injector.injector.0.q.weight", "Wan 2.2 S2V"),
    ] {
        let mut header = SafetensorsHeader::default();
        header.tensor(tensor, DType::F32, &[1])?;
        let file = tempfile::NamedTempFile::with_suffix(".safetensors")?;
        std::fs::write(file.path(), [header.to_bytes(), vec![0; 4]].concat())?;
        let checkpoint = Arc::new(Checkpoint::open(file.path(), "transformer")?);
        let caps = kinora::record::Caps::least();
        let found = TransformerPasses::record(&caps, &config, &checkpoint, shape(&config));
        let found = found.map_or_else(|error| error.to_string(), |_| "nothing".to_owned());
        if !found.contains(&format!(
            "the transformer is {model}, by its tensor {tensor};"
        )) {
            return Err(found.into());
        }
    }
    let parse = |text: serde_json::Value| {
        let text = text.to_string();
        let found = TransformerConfig::parse("transformer/config.json", text.as_bytes());
        found.map_or_else(|error| error.to_string(), |config| format!("{config:?}"))
    };
    let with = |more: serde_json::Value| {
        let mut fields = serde_json::json!({
            "_class_name": "WanTransformer3DModel", "num_attention_heads": 2, "attention_head_dim": 8,
            "in_channels": 36, "image_dim": 20, "added_kv_proj_dim": 16,
        });
        for (field, value) in more.as_object().into_iter().flatten() {
            fields[field] = value.clone();
        }
        parse(fields)
    };
    for (more, expected) in [
        (
            serde_json::json!({ "in_channels": 48 }),
            "in_channels is 48, expected 16",
        ),
        (
            serde_json::json!({ "in_channels": 100 }),
            "in_channels is 100, expected 16",
        ),
        (
            serde_json::json!({ "image_dim": null }),
            "added_kv_proj_dim is 16, expected given where",
        ),
        (
            serde_json::json!({ "added_kv_proj_dim": 8 }),
            "added_kv_proj_dim is 8, expected 16",
        ),
        (
            serde_json::json!({ "image_dim": null, "added_kv_proj_dim": null, "pos_embed_seq_len": 4 }),
            "pos_embed_seq_len is 4, expected null",
        ),
        (
            serde_json::json!({ "_class_name": "WanVACETransformer3DModel" }),
            "_class_name is \"WanVACETransformer3DModel\"",
        ),
    ] {
        let found = with(more);
        if !found.contains(expected) {
            return Err(format!("{found}, expected {expected}").into());
        }
    }
    Ok(())
}
