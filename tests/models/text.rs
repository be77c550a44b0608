//! The text encoder.

use std::sync::Arc;

use kinora::gpu::{Cancel, Gpu};
use kinora::models::config::TextEncoderConfig;
use kinora::models::umt5::{TextEncoder, TextPasses, relative_buckets};
use kinora::weights::Checkpoint;
use libtest_mimic::{Failed, Trial};

use super::harness::device_test;
use super::{Expected, KINDS, WINDOWS, fixtures, json};

pub fn trials() -> Vec<Trial> {
    let kinds = KINDS.map(|kind| device_test(format!("text/{kind}"), move |gpu| text(gpu, kind)));
    let mut trials = Vec::from(kinds);
    trials.push(device_test("text/long", long_text));
    trials.push(Trial::test("text/buckets", buckets));
    trials
}

fn ids(value: &serde_json::Value) -> Vec<u32> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|id| id.as_u64())
        .map(|id| id as u32)
        .collect()
}

/// Both prompts of a fixture in one call, as a pipeline does it.
fn text(gpu: &Gpu, kind: &str) -> Result<(), Failed> {
    let folder = fixtures().join(kind);
    let expected = Expected::open(&folder)?;
    let case = json(&folder.join("case.json"))?;
    let encoder = folder.join("model/text_encoder");
    let config =
        TextEncoderConfig::parse("config.json", &std::fs::read(encoder.join("config.json"))?)?;
    let checkpoint = Arc::new(Checkpoint::open(&encoder, "text encoder")?);
    let mut prompts = vec![ids(&case["prompt_ids"])];
    prompts.extend(Some(ids(&case["negative_ids"])).filter(|ids| !ids.is_empty()));
    let borrowed: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
    let lengths: Vec<usize> = prompts.iter().map(Vec::len).collect();
    let passes = TextPasses::record(gpu.caps(), &config, &checkpoint, &lengths)?;
    let passes = Arc::new(passes);
    let encoder = TextEncoder::new(gpu, passes.clone());
    let found = encoder.encode(&borrowed, &Cancel::new(), &mut |_| {})?;
    for (name, found) in ["prompt_embeds", "negative_prompt_embeds"]
        .into_iter()
        .zip(&found)
    {
        expected.close(name, found)?;
    }
    for window in WINDOWS {
        let (weights, working) = passes.memory(&lengths, window);
        let encoder = TextEncoder::new(gpu, passes.clone()).with_window(window);
        let before = gpu.memory().current;
        gpu.reset_peak();
        if encoder.encode(&borrowed, &Cancel::new(), &mut |_| {})? != found {
            return Err(format!("{window:?}: other embeddings").into());
        }
        let peak = gpu.memory().peak - before;
        if peak != weights + working {
            return Err(format!("{window:?}: {peak} bytes, not {weights} + {working}").into());
        }
    }
    Ok(())
}

/// I32 tensors, which no checkpoint of weights has.
fn integers(file: &safetensors::SafeTensors<'_>, name: &str) -> Result<Vec<i32>, Failed> {
    let tensor = file.tensor(name)?;
    Ok(tensor
        .data()
        .as_chunks()
        .0
        .iter()
        .map(|&b| i32::from_le_bytes(b))
        .collect())
}

/// Prompts of 1 to 512 tokens: distances beyond the last bucket's border.
fn long_text(gpu: &Gpu) -> Result<(), Failed> {
    let folder = fixtures().join("parts/text_long");
    let expected = Expected::open(&folder)?;
    let bytes = std::fs::read(folder.join("expected.safetensors"))?;
    let file = safetensors::SafeTensors::deserialize(&bytes)?;
    let encoder = folder.join("text_encoder");
    let config =
        TextEncoderConfig::parse("config.json", &std::fs::read(encoder.join("config.json"))?)?;
    let checkpoint = Arc::new(Checkpoint::open(&encoder, "text encoder")?);
    let passes = TextPasses::record(gpu.caps(), &config, &checkpoint, &[1, 2, 200, 512])?;
    let encoder = TextEncoder::new(gpu, Arc::new(passes));
    for length in ["1", "2", "200", "512"] {
        let ids: Vec<u32> = integers(&file, &format!("ids.{length}"))?
            .iter()
            .map(|&id| id as u32)
            .collect();
        let all = encoder
            .encode(&[&ids], &Cancel::new(), &mut |_| {})?
            .remove(0);
        let rows = integers(&file, &format!("rows.{length}"))?;
        let row = |&row: &i32| all[row as usize * config.d_model..][..config.d_model].to_vec();
        let found: Vec<f32> = rows.iter().flat_map(row).collect();
        expected.close(&format!("embeds.{length}"), &found)?;
    }
    Ok(())
}

fn buckets() -> Result<(), Failed> {
    let bytes = std::fs::read(fixtures().join("parts/text_long/expected.safetensors"))?;
    let file = safetensors::SafeTensors::deserialize(&bytes)?;
    let distances = integers(&file, "buckets.distance")?;
    let length = distances
        .iter()
        .map(|d| d.unsigned_abs() as usize)
        .max()
        .unwrap_or(0)
        + 1;
    for (count, farthest) in [(32, 128), (16, 128), (32, 64)] {
        let expected = integers(&file, &format!("buckets.{count}_{farthest}"))?;
        let found = relative_buckets(length, count, farthest);
        for (distance, expected) in distances.iter().zip(expected) {
            let found = found[(distance + length as i32 - 1) as usize];
            if found != expected as u32 {
                let text = format!(
                    "{count} buckets up to {farthest}, distance {distance}: {found}, not {expected}"
                );
                return Err(text.into());
            }
        }
    }
    Ok(())
}
