//! The image encoder.

use std::path::Path;
use std::sync::Arc;

use kinora::gpu::{Cancel, Gpu};
use kinora::model_files::names::{Kind, Naming, with_diffusers_names};
use kinora::models::clip::{ImageEncoder, ImageLayers};
use kinora::models::config::ImageEncoderConfig;
use kinora::weights::Checkpoint;
use libtest_mimic::{Failed, Trial};

use super::harness::device_test;
use super::{Expected, WINDOWS, fixtures};

/// Fixture, file of weights, whose names those are.
const FILES: [(&str, &str, Naming); 3] = [
    ("clip", "model.safetensors", Naming::Bare),
    ("clip", "original.safetensors", Naming::Original),
    ("clip_quick", "model.safetensors", Naming::Bare),
];

/// Pictures of a fixture.
const PICTURES: usize = 2;

pub fn trials() -> Vec<Trial> {
    let states = FILES.map(|(folder, file, naming)| {
        device_test(format!("image/{folder}/{file}"), move |gpu| {
            states(gpu, folder, file, naming)
        })
    });
    let mut trials = Vec::from(states);
    trials.push(device_test("image/refusals", refusals));
    trials
}

/// The picture `number` of `oracle/clip.py`, [S, S, 3].
fn picture(number: usize, values: usize) -> Vec<f32> {
    let value = |n: usize| {
        let byte = (n as u32 + 1).wrapping_mul(2_654_435_761) >> 24;
        byte as f32 / 127.5 - 1.0
    };
    (number * values..(number + 1) * values)
        .map(value)
        .collect()
}

fn config(folder: &Path) -> Result<ImageEncoderConfig, Failed> {
    let text = std::fs::read(folder.join("config.json"))?;
    Ok(ImageEncoderConfig::parse("config.json", &text)?)
}

fn states(gpu: &Gpu, folder: &str, file: &str, naming: Naming) -> Result<(), Failed> {
    let folder = fixtures().join("parts").join(folder);
    let expected = Expected::open(&folder)?;
    let config = config(&folder)?;
    let checkpoint = Checkpoint::open(folder.join(file), "image encoder")?;
    let (names, checkpoint) = with_diffusers_names(checkpoint, Kind::ImageEncoder)?;
    if names.as_ref().map(|names| names.naming) != Some(naming) {
        return Err(format!("recognised as {names:?}").into());
    }
    let checkpoint = Arc::new(checkpoint);
    let values = 3 * config.image_size.pow(2);
    let pictures: Vec<Vec<f32>> = (0..PICTURES).map(|at| picture(at, values)).collect();
    let pictures: Vec<&[f32]> = pictures.iter().map(Vec::as_slice).collect();
    let encoder = ImageEncoder::new(gpu, &config, &checkpoint)?;
    let mut told = Vec::new();
    let found = encoder.encode(&pictures, &Cancel::new(), &mut |layer| told.push(layer))?;
    expected.close("hidden", &found.concat())?;
    let layers: Vec<usize> = (1..config.num_hidden_layers).collect();
    if told != layers {
        return Err(format!("told of {told:?}, expected {layers:?}").into());
    }
    for window in WINDOWS {
        let layers = ImageLayers::new(gpu.caps(), &config, &checkpoint)?;
        let (weights, working) = layers.memory(PICTURES, window)?;
        let encoder = ImageEncoder::new(gpu, &config, &checkpoint)?.with_window(window);
        let before = gpu.memory().current;
        gpu.reset_peak();
        if encoder.encode(&pictures, &Cancel::new(), &mut |_| {})? != found {
            return Err(format!("{window:?}: other states").into());
        }
        let peak = gpu.memory().peak - before;
        if peak != weights + working {
            return Err(format!("{window:?}: {peak} bytes, not {weights} + {working}").into());
        }
    }
    Ok(())
}

fn refusals(gpu: &Gpu) -> Result<(), Failed> {
    let folder = fixtures().join("parts/clip");
    let good = config(&folder)?;
    let checkpoint = Checkpoint::open(folder.join("model.safetensors"), "image encoder")?;
    let (_, checkpoint) = with_diffusers_names(checkpoint, Kind::ImageEncoder)?;
    let checkpoint = Arc::new(checkpoint);
    let sentence = |config: &ImageEncoderConfig| {
        let found = ImageLayers::new(gpu.caps(), config, &checkpoint);
        found.map_or_else(|error| error.to_string(), |_| "none".to_owned())
    };
    let more = ImageEncoderConfig {
        num_hidden_layers: 6,
        ..good.clone()
    };
    let odd = ImageEncoderConfig {
        num_attention_heads: 4,
        ..good.clone()
    };
    let larger = ImageEncoderConfig {
        image_size: 40,
        ..good.clone()
    };
    for (config, expected) in [
        (&more, "vision_model.encoder.layers.4.layer_norm1.weight"),
        (&odd, "hidden_size / num_attention_heads is 6"),
        (&larger, "position_embedding.weight"),
    ] {
        let found = sentence(config);
        if !found.contains(expected) {
            return Err(format!("{found}, expected {expected}").into());
        }
    }
    let encoder = ImageEncoder::new(gpu, &good, &checkpoint)?;
    let found = encoder.encode(&[&[0.0; 3]], &Cancel::new(), &mut |_| {});
    match found {
        Err(error) if error.to_string().contains("3 values, expected 3072") => {}
        found => return Err(format!("{found:?}").into()),
    }
    let parse = |text: &str| {
        let found = ImageEncoderConfig::parse("image_encoder/config.json", text.as_bytes());
        found.map_or_else(|error| error.to_string(), |config| format!("{config:?}"))
    };
    for (text, expected) in [
        (
            r#"{"model_type": "siglip_vision_model"}"#,
            "clip_vision_model",
        ),
        (
            r#"{"model_type": "clip_vision_model", "hidden_act": "relu"}"#,
            "hidden_act",
        ),
        (
            r#"{"model_type": "clip_vision_model", "num_attention_heads": 7}"#,
            "num_attention_heads",
        ),
        (
            r#"{"model_type": "clip_vision_model", "patch_size": 500}"#,
            "patch_size",
        ),
    ] {
        let found = parse(text);
        if !found.starts_with("image_encoder/config.json") || !found.contains(expected) {
            return Err(found.into());
        }
    }
    Ok(())
}
