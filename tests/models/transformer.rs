//! Forward passes of the transformer, resident and streamed.

use std::path::Path;
use std::sync::Arc;

use kinora::gpu::{Cancel, Gpu, Stream};
use kinora::models::config::TransformerConfig;
use kinora::models::wan_transformer::{
    Residency, Transformer, TransformerPasses, TransformerShape,
};
use kinora::record::Caps;
use kinora::weights::Checkpoint;
use libtest_mimic::{Failed, Trial};

use super::harness::data::{floats, values};
use super::harness::device_test;
use super::{Expected, KINDS, WINDOWS, fixtures, read, upload};

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for kind in KINDS {
        trials.push(device_test(format!("forward/{kind}"), move |gpu| {
            let model = fixtures().join(kind).join("model/transformer");
            forward(
                gpu,
                &model,
                &fixtures().join(kind),
                512,
                Residency::Resident,
            )
            .map(drop)
        }));
        trials.push(device_test(
            format!("forward/{kind}/streamed"),
            move |gpu| streamed(gpu, kind),
        ));
    }
    trials.push(device_test("forward/a14b/second expert", second_expert));
    trials.push(device_test("forward/planned memory", planned_memory));
    trials.push(device_test("forward/streamed anew", streamed_anew));
    for (part, rows) in [
        ("head128_bf16", 11),
        ("head40_f16", 77),
        ("no_cross_norm", 16),
    ] {
        trials.push(device_test(format!("forward/{part}"), move |gpu| {
            let folder = fixtures().join("parts").join(part);
            forward(
                gpu,
                &folder.join("transformer"),
                &folder,
                rows,
                Residency::Resident,
            )
            .map(drop)
        }));
    }
    trials.extend(super::seeing::trials());
    trials.push(device_test("forward/small_bindings", small_bindings));
    trials
}

/// The distinct values of the tokens' timesteps, ascending, and each token's.
fn distinct(timesteps: &[f32]) -> (Vec<f32>, Vec<u32>) {
    let mut values = timesteps.to_vec();
    values.sort_by(f32::total_cmp);
    values.dedup();
    let index = timesteps
        .iter()
        .map(|t| values.iter().position(|v| v == t).unwrap_or(0) as u32);
    (values.clone(), index.collect())
}

/// A transformer's configuration and weights.
pub(super) fn opened(model: &Path) -> Result<(TransformerConfig, Arc<Checkpoint>), Failed> {
    let json = std::fs::read(model.join("config.json"))?;
    let config = TransformerConfig::parse("config.json", &json)?;
    Ok((config, Arc::new(Checkpoint::open(model, "transformer")?)))
}

/// What one pass gives.
fn velocity(
    gpu: &Gpu,
    transformer: &Transformer,
    timesteps: &[f32],
    sample: &[f32],
    text: &[f32],
) -> Result<Vec<f32>, Failed> {
    let mut stream = Stream::new(gpu, &Cancel::new());
    let context = transformer.context(&mut stream, text)?;
    let (input, output) = (upload(gpu, sample)?, upload(gpu, &vec![0.0; sample.len()])?);
    transformer.forward(&mut stream, timesteps, &input, &context, &output)?;
    stream.finish()?;
    read(gpu, &output, sample.len())
}

/// One pass with the values between its layers, of an image too where the fixture has one; gives the
/// velocity.
pub(super) fn forward(
    gpu: &Gpu,
    model: &Path,
    folder: &Path,
    text_length: usize,
    residency: Residency,
) -> Result<Vec<f32>, Failed> {
    let expected = Expected::open(folder)?;
    let (config, checkpoint) = opened(model)?;
    let sample = expected.values("forward.sample_in")?;
    let shape = expected.0.shape_of("forward.sample_in").unwrap_or_default();
    let latents: [usize; 4] = shape[1..].try_into()?;
    let (timesteps, index) = distinct(&expected.values("forward.timestep")?);
    let text = expected.values("forward.text")?;
    let shape = TransformerShape {
        latents,
        text_length,
        text_rows: TransformerShape::text_rows(text.len() / config.text_dim, text_length),
        timesteps: timesteps.len(),
    };
    let image = match expected.0.shape_of("forward.image") {
        Some(&[pictures, tokens, _]) => {
            Some((pictures * tokens, expected.values("forward.image")?))
        }
        _ => None,
    };
    let image_rows = image.as_ref().map_or(0, |(rows, _)| *rows);
    let (caps, rows) = (gpu.caps(), image_rows);
    let passes = TransformerPasses::record_seeing(caps, &config, &checkpoint, shape, rows)?;
    let tokens = passes.tokens();
    let transformer = Transformer::new(gpu, passes, checkpoint, residency)?;

    let mut stream = Stream::new(gpu, &Cancel::new());
    if timesteps.len() > 1 {
        transformer.set_token_timesteps(&mut stream, &index)?;
    }
    if let Some((_, image)) = &image {
        transformer.set_image(&mut stream, image)?;
    }
    let context = transformer.context(&mut stream, &text)?;
    let projected = expected.values("forward.text_embed")?;
    expected.close(
        "forward.text_embed",
        &read(gpu, context.text(), projected.len())?,
    )?;

    let input = upload(gpu, &sample)?;
    let values = sample.len() / config.in_channels * config.out_channels;
    let output = upload(gpu, &vec![0.0; values])?;
    let mut hidden = Vec::new();
    let kept = |name: &str| transformer.kept(name).cloned();
    transformer.forward_observed(
        &mut stream,
        &timesteps,
        &input,
        &context,
        &output,
        &mut |stream, _| {
            stream.finish()?;
            if let Some(buffer) = kept("hidden") {
                hidden.push(gpu.read(&buffer, 0..(tokens * config.dim() * 4) as u64)?);
            }
            Ok(())
        },
    )?;
    stream.finish()?;
    for (name, width) in [("time embed", 1), ("time proj", 6)] {
        let count = timesteps.len() * width * config.dim();
        let buffer = kept(name).ok_or("no such buffer")?;
        expected.close(
            &format!("forward.{}", name.replace(' ', "_")),
            &read(gpu, &buffer, count)?,
        )?;
    }
    for (block, bytes) in hidden.iter().enumerate() {
        expected.close(&format!("forward.block{block}"), &floats(bytes))?;
    }
    let velocity = read(gpu, &output, values)?;
    expected.close("forward.out", &velocity)?;
    Ok(velocity)
}

/// Streaming the blocks, and keeping nothing of the text, changes no bit.
fn streamed(gpu: &Gpu, kind: &str) -> Result<(), Failed> {
    let folder = fixtures().join(kind);
    let model = folder.join("model/transformer");
    let resident = forward(gpu, &model, &folder, 512, Residency::Resident)?;
    let windows = WINDOWS.map(Residency::Streamed);
    for residency in [Residency::Minimal].into_iter().chain(windows) {
        let other = forward(gpu, &model, &folder, 512, residency)?;
        let mut pairs = resident.iter().zip(&other);
        if !pairs.all(|(a, b)| a.to_bits() == b.to_bits()) {
            return Err(format!("{residency:?}: the pass differs from the resident one").into());
        }
    }
    Ok(())
}

/// A transformer's run that was cut off in the middle of its blocks is followed by a right one.
fn streamed_anew(gpu: &Gpu) -> Result<(), Failed> {
    let folder = fixtures().join("wan21");
    let model = folder.join("model/transformer");
    let (config, checkpoint) = opened(&model)?;
    let shape = TransformerShape {
        latents: [config.in_channels, 2, 4, 4],
        text_length: 16,
        text_rows: 6,
        timesteps: 1,
    };
    let sample = values(1, shape.latents.iter().product());
    let text = values(2, 5 * config.text_dim);
    let (input, output) = (upload(gpu, &sample)?, upload(gpu, &sample)?);
    let passes = TransformerPasses::record(gpu.caps(), &config, &checkpoint, shape)?;
    let transformer = Transformer::new(gpu, passes, checkpoint, Residency::Streamed(WINDOWS[1]))?;
    let context = transformer.context(&mut Stream::new(gpu, &Cancel::new()), &text)?;
    let pass = |cut_off: bool| -> Result<Vec<f32>, Failed> {
        let cancel = Cancel::new();
        let mut stream = Stream::new(gpu, &cancel);
        let mut after = |_: &mut Stream, _| {
            if cut_off {
                cancel.cancel();
            }
            Ok(())
        };
        let (context, after) = (&context, &mut after);
        let ran =
            transformer.forward_observed(&mut stream, &[5.0], &input, context, &output, after);
        if cut_off {
            return match ran.and_then(|()| Ok(stream.finish()?)) {
                Err(kinora::Error::Cancelled) => Ok(Vec::new()),
                other => Err(format!("{other:?}").into()),
            };
        }
        ran?;
        stream.finish()?;
        read(gpu, &output, sample.len())
    };
    let whole = pass(false)?;
    pass(true)?;
    match pass(false)? == whole {
        true => Ok(()),
        false => Err("the pass after one that was cut off is another".into()),
    }
}

/// The device memory of every residency, to the byte.
fn planned_memory(gpu: &Gpu) -> Result<(), Failed> {
    let model = fixtures().join("parts/no_cross_norm/transformer");
    let (config, checkpoint) = opened(&model)?;
    let shape = TransformerShape {
        latents: [4, 3, 8, 8],
        text_length: 16,
        text_rows: 6,
        timesteps: 1,
    };
    let mut peaks = Vec::new();
    let residencies = [
        Residency::Resident,
        Residency::Minimal,
        Residency::Streamed(WINDOWS[2]),
    ];
    for residency in residencies {
        let passes = TransformerPasses::record(gpu.caps(), &config, &checkpoint, shape)?;
        let (weights, working) = passes.memory(residency, 2);
        let sample = values(1, 4 * 3 * 8 * 8);
        let (input, output) = (upload(gpu, &sample)?, upload(gpu, &sample)?);
        let before = gpu.memory().current;
        gpu.reset_peak();
        let transformer = Transformer::new(gpu, passes, checkpoint.clone(), residency)?;
        let mut stream = Stream::new(gpu, &Cancel::new());
        let text = values(2, 5 * config.text_dim);
        let contexts = [
            transformer.context(&mut stream, &text)?,
            transformer.context(&mut stream, &text[..config.text_dim])?,
        ];
        for context in &contexts {
            transformer.forward(&mut stream, &[500.0], &input, context, &output)?;
            stream.finish()?;
        }
        let (peak, said) = (gpu.memory().peak - before, weights + working);
        if peak != said {
            return Err(format!("{residency:?}: {peak} bytes, planned were {said}").into());
        }
        peaks.push(peak);
    }
    match peaks.is_sorted_by(|more, less| less < more) {
        true => Ok(()),
        false => Err(format!("a smaller residency saves nothing: {peaks:?}").into()),
    }
}

fn second_expert(gpu: &Gpu) -> Result<(), Failed> {
    let folder = fixtures().join("a14b");
    let expected = Expected::open(&folder)?;
    let model = folder.join("model/transformer_2");
    let (config, checkpoint) = opened(&model)?;
    let sample = expected.values("forward.sample_in")?;
    let latents: [usize; 4] =
        expected.0.shape_of("forward.sample_in").unwrap_or_default()[1..].try_into()?;
    let text = expected.values("forward.text")?;
    let shape = TransformerShape {
        latents,
        text_length: 512,
        // A row more than this prompt and its padding need, as beside a longer one.
        text_rows: TransformerShape::text_rows(text.len() / config.text_dim, 512) + 1,
        timesteps: 1,
    };
    let passes = TransformerPasses::record(gpu.caps(), &config, &checkpoint, shape)?;
    let transformer = Transformer::new(gpu, passes, checkpoint, Residency::Resident)?;
    let timesteps = expected.values("forward.timestep")?;
    let velocity = velocity(gpu, &transformer, &timesteps, &sample, &text)?;
    expected.close("forward.out_2", &velocity)
}

/// A device that can bind a third of the hidden state gives the same bits.
fn small_bindings(gpu: &Gpu) -> Result<(), Failed> {
    let model = fixtures().join("parts/no_cross_norm/transformer");
    let (config, checkpoint) = opened(&model)?;
    let shape = TransformerShape {
        latents: [4, 8, 16, 24],
        text_length: 16,
        text_rows: 16,
        timesteps: 1,
    };
    let sample = values(1, 4 * 8 * 16 * 24);
    let text = values(2, 16 * config.text_dim);
    let run = |caps: &Caps| -> Result<Vec<u32>, Failed> {
        let passes = TransformerPasses::record(caps, &config, &checkpoint, shape)?;
        let transformer = Transformer::new(gpu, passes, checkpoint.clone(), Residency::Resident)?;
        let velocity = velocity(gpu, &transformer, &[500.0], &sample, &text)?;
        Ok(velocity.into_iter().map(f32::to_bits).collect())
    };
    let small = Caps {
        max_binding_bytes: 52_000,
        ..gpu.caps().clone()
    };
    let same = run(&small)? == run(gpu.caps())?;
    if same {
        Ok(())
    } else {
        Err("the result changes with the device's limits".into())
    }
}
