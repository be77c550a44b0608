//! Layers at the full sizes of the released models against the reference, and the real latents
//! through a full-size decoder.
//!
//! All of it takes minutes on a software device and gigabytes of memory, so it is ignored unless
//! asked for: `cargo test --release --test fullsize -- --ignored --nocapture`.

#![allow(unreachable_pub, reason = "the modules of a test program are its own")]

#[path = "fullsize/file.rs"]
mod file;
mod harness;
#[path = "fullsize/shapes.rs"]
mod shapes;
#[path = "fullsize/values.rs"]
mod values;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use harness::compare::relative_l2;
use harness::data::floats;
use harness::{Input, Run, device_test};
use kinora::gpu::{Cancel, Gpu, GpuOptions, Stream, StreamWindow};
use kinora::model_files::{ModelConfig, ModelFolder};
use kinora::models::clip::ImageEncoder;
use kinora::models::umt5::{TextEncoder, TextPasses};
use kinora::models::vae::{DecodeOptions, Network, VaeDecoder, VaeEncoder};
use kinora::models::wan_transformer::{
    Residency, Transformer, TransformerPasses, TransformerShape,
};
use kinora::tensor::DType;
use kinora::weights::{Checkpoint, Latents};
use libtest_mimic::{Failed, Trial};
use shapes::Named;

/// What f32 sums in another order may differ by, as relative L2 distance.
const BOUND: f64 = 1e-4;

fn main() {
    let long = |name: &'static str, test: fn(&Gpu) -> Result<(), Failed>| {
        device_test(name, move |_| {
            // Without checks of every access, which the kernels' own tests run with: they cost time.
            let gpu = &Gpu::open(&GpuOptions {
                bounds_checks: false,
                ..harness::options()
            })?;
            let begun = Instant::now();
            let before = gpu.memory().current;
            gpu.reset_peak();
            test(gpu)?;
            let peak = (gpu.memory().peak - before) as f64 / 1e9;
            let seconds = begun.elapsed().as_secs_f64();
            println!("  {name}: {peak:.2} GB of device memory, {seconds:.0} s");
            Ok(())
        })
        .with_ignored_flag(true)
    };
    let shared = listings().is_dir();
    harness::run(vec![
        Trial::test("values", made_up_values),
        Trial::test("shapes", listed_shapes).with_ignored_flag(!shared),
        long("transformer/14b", |gpu| transformer(gpu, "wan2.1-14b")),
        long("transformer/5b", |gpu| transformer(gpu, "wan2.2-5b")),
        long("transformer/i2v-14b", |gpu| {
            transformer(gpu, "wan2.1-i2v-14b")
        }),
        long("transformer/flf2v-14b", |gpu| {
            transformer(gpu, "wan2.1-flf2v-14b")
        }),
        long("transformer/i2v-a14b", |gpu| {
            transformer(gpu, "wan2.2-i2v-a14b")
        }),
        long("image/clip", image_encoder),
        long("encoder/2.1", |gpu| encoder(gpu, "wan2.1-1.3b")),
        long("encoder/2.2", |gpu| encoder(gpu, "wan2.2-5b")),
        long("text/umt5-xxl", text_layer),
        long("vae/2.1", |gpu| decoder(gpu, "wan2.1-1.3b")),
        long("vae/2.2", |gpu| decoder(gpu, "wan2.2-5b")),
        long("vae/real latents", real_latents),
    ]);
}

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The listings of the released checkpoints, where they are at hand.
fn listings() -> PathBuf {
    repository().join("../shared/models")
}

/// The first values of some tensors, as the reference's side makes them.
fn made_up_values() -> Result<(), Failed> {
    for (name, shape, expected) in [
        ("blocks.0.ffn.net.2.weight", &[5, 7][..], VALUES[0]),
        ("decoder.norm_out.gamma", &[9, 1, 1, 1], VALUES[1]),
        ("proj_out.bias", &[8], VALUES[2]),
    ] {
        let found: Vec<u32> = values::values(name, shape, 0)
            .take(3)
            .map(f32::to_bits)
            .collect();
        if found != expected {
            return Err(format!("{name}: {found:x?}, expected {expected:x?}").into());
        }
        let later = values::values(name, shape, 2).next().map(f32::to_bits);
        if later != Some(expected[2]) {
            return Err(format!("{name}: {later:x?} from the third on").into());
        }
    }
    Ok(())
}

/// Names and shapes are those of the released files.
fn listed_shapes() -> Result<(), Failed> {
    let config = |model: &str| ModelFolder::like(model)?.config();
    for (listing, mut found) in [
        (
            "wan_t2v_1_3B_diffusers.tsv",
            shapes::transformer(&config("wan2.1-1.3b")?.transformer),
        ),
        (
            "wan_t2v_14B_diffusers.tsv",
            shapes::transformer(&config("wan2.1-14b")?.transformer),
        ),
        (
            "wan_ti2v_5B_diffusers.tsv",
            shapes::transformer(&config("wan2.2-5b")?.transformer),
        ),
        (
            "wan_i2v_14B_diffusers.tsv",
            shapes::transformer(&config("wan2.1-i2v-14b")?.transformer),
        ),
        (
            "wan_flf2v_14B_diffusers.tsv",
            shapes::transformer(&config("wan2.1-flf2v-14b")?.transformer),
        ),
        (
            "wan_i2v_A14B_diffusers.tsv",
            shapes::transformer(&config("wan2.2-i2v-a14b")?.transformer),
        ),
        (
            "umt5_xxl_encoder_hf.tsv",
            shapes::text_encoder(&config("wan2.1-1.3b")?.text_encoder),
        ),
        (
            "wan2.1_vae_diffusers.tsv",
            shapes::decoder(shapes::WAN21_VAE),
        ),
    ] {
        let text = std::fs::read_to_string(listings().join(listing))?;
        // A third column, where there is one, has the original's names.
        let rows = text.lines().map(|line| {
            let columns: Vec<&str> = line.split('\t').take(2).collect();
            columns.join("\t")
        });
        let mut expected = shapes::decoder(&rows.collect::<Vec<_>>().join("\n"));
        if listing.starts_with("umt5") {
            let encoder = text.lines().filter(|line| line.starts_with("encoder."));
            let row = |line: &str| {
                let (name, rest) = line.split_once('\t')?;
                let shape = rest.split('\t').next()?.split('x');
                let shape: Option<Vec<usize>> = shape.map(|n| n.parse().ok()).collect();
                Some((name.to_owned(), shape?))
            };
            expected.extend(encoder.filter_map(row));
        }
        expected.sort();
        found.sort();
        if found != expected {
            let other = found.iter().find(|tensor| !expected.contains(tensor));
            let (found, expected) = (found.len(), expected.len());
            return Err(format!("{listing}: {found} tensors of {expected}; {other:?}").into());
        }
    }
    Ok(())
}

/// A checkpoint of made-up weights, in a file that goes with it.
fn made_up(tensors: &[Named], dtype: DType) -> Result<(tempfile::TempDir, Checkpoint), Failed> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.safetensors");
    file::write(&path, tensors, dtype, &|_| false)?;
    let checkpoint = Checkpoint::open(&path, "full size")?;
    Ok((folder, checkpoint))
}

fn input(name: &str, shape: &[usize]) -> Vec<f32> {
    let count = shape.iter().product();
    values::values(name, shape, 0).take(count).collect()
}

/// What the reference made, sampled.
struct Expected(Checkpoint);

impl Expected {
    fn open(part: &str) -> Result<Self, Failed> {
        let path = repository().join(format!("tests/fixtures/full_size/{part}.safetensors"));
        Ok(Self(Checkpoint::open(&path, "expected")?))
    }

    fn close(&self, name: &str, found: &[f32]) -> Result<(), Failed> {
        let samples = self.0.get_any(name)?.to_f32();
        let norm = self.0.get_any(&format!("{name}.norm"))?.to_f32();
        let stride = (found.len() / 4096).max(1) | 1;
        let of_found: Vec<f32> = found.iter().copied().step_by(stride).collect();
        if of_found.len() != samples.len() {
            let (found, expected) = (of_found.len(), samples.len());
            return Err(format!("{name}: {found} samples, expected {expected}").into());
        }
        let distance = relative_l2(&of_found, &samples);
        let square: f64 = found.iter().map(|&v| f64::from(v).powi(2)).sum();
        let of_norm = (square.sqrt() / f64::from(norm[0]) - 1.0).abs();
        println!("  {name}: {distance:.1e} from the reference's, its norm {of_norm:.1e}");
        match distance <= BOUND && of_norm <= BOUND {
            true => Ok(()),
            false => Err(format!("{name}: {distance:.1e}, norm {of_norm:.1e}").into()),
        }
    }
}

/// One block between the layers around it, at full width, streamed.
fn transformer(gpu: &Gpu, model: &str) -> Result<(), Failed> {
    let part = match model {
        "wan2.2-5b" => "transformer_5b",
        "wan2.1-i2v-14b" => "transformer_i2v_14b",
        "wan2.1-flf2v-14b" => "transformer_flf2v_14b",
        "wan2.2-i2v-a14b" => "transformer_i2v_a14b",
        _ => "transformer_14b",
    };
    let expected = Expected::open(part)?;
    let ModelConfig { transformer, .. } = ModelFolder::like(model)?.config()?;
    let mut config = transformer;
    config.num_layers = 1;
    let (_folder, checkpoint) = made_up(&shapes::transformer(&config), DType::BF16)?;
    let latents = [config.in_channels, 3, 6, 8];
    let shape = TransformerShape {
        latents,
        text_length: 512,
        text_rows: TransformerShape::text_rows(20, 512),
        timesteps: 1,
    };
    let checkpoint = Arc::new(checkpoint);
    let image_rows = match (config.image_dim, config.pos_embed_seq_len) {
        (None, _) => 0,
        (Some(_), positions) => positions.unwrap_or(257),
    };
    let passes =
        TransformerPasses::record_seeing(gpu.caps(), &config, &checkpoint, shape, image_rows)?;
    let tokens = passes.tokens();
    let [_, _, window, _] = StreamWindow::choices(passes.set_bytes());
    let transformer = Transformer::new(gpu, passes, checkpoint, Residency::Streamed(window))?;
    let mut stream = Stream::new(gpu, &Cancel::new());
    let text = input("text.input", &[1, 20, config.text_dim]);
    if let Some(width) = config.image_dim {
        let image = input("image.input", &[image_rows / 257, 257, width]);
        transformer.set_image(&mut stream, &image)?;
    }
    let context = transformer.context(&mut stream, &text)?;
    let [c, t, h, w] = latents;
    let sample = input("latents.input", &[1, c, t, h, w]);
    let bytes = (sample.len() * 4) as u64;
    let of_velocity = bytes / c as u64 * config.out_channels as u64;
    let [from, to] = [
        gpu.buffer("latents", bytes)?,
        gpu.buffer("velocity", of_velocity)?,
    ];
    gpu.write(&from, 0, bytemuck::cast_slice(&sample))?;
    let mut block = Vec::new();
    let hidden = transformer.kept("hidden").ok_or("no hidden states")?;
    let mut after = |stream: &mut Stream, _| {
        stream.finish()?;
        block = floats(&gpu.read(hidden, 0..(tokens * config.dim() * 4) as u64)?);
        Ok(())
    };
    transformer.forward_observed(&mut stream, &[637.0], &from, &context, &to, &mut after)?;
    stream.finish()?;
    expected.close("block", &block)?;
    expected.close("velocity", &floats(&gpu.read(&to, 0..of_velocity)?))
}

/// All layers of CLIP ViT-H/14 that are read.
fn image_encoder(gpu: &Gpu) -> Result<(), Failed> {
    let expected = Expected::open("clip")?;
    let config = ModelFolder::like("wan2.1-i2v-14b")?.config()?;
    let config = config.image_encoder.ok_or("no image encoder")?;
    let (_folder, checkpoint) = made_up(&shapes::image_encoder(&config), DType::BF16)?;
    let checkpoint = Arc::new(checkpoint);
    let side = config.image_size;
    let planes = input("pixels.input", &[1, 3, side, side]);
    let area = side * side;
    let pixels: Vec<f32> = (0..3 * area)
        .map(|at| planes[at % 3 * area + at / 3])
        .collect();
    let encoder = ImageEncoder::new(gpu, &config, &checkpoint)?;
    let found = encoder.encode(&[&pixels], &Cancel::new(), &mut |_| {})?;
    expected.close("states", &found.concat())
}

/// A whole encoder on five frames, which are two latent frames.
fn encoder(gpu: &Gpu, model: &str) -> Result<(), Failed> {
    let (part, table) = match model {
        "wan2.2-5b" => ("encoder_22", shapes::WAN22_VAE),
        _ => ("encoder_21", shapes::WAN21_VAE),
    };
    let expected = Expected::open(part)?;
    let ModelConfig {
        vae: mut config, ..
    } = ModelFolder::like(model)?.config()?;
    if part == "encoder_22" {
        // As `fixtures/oracle/full_size.py` has them.
        config.latents_mean = vec![0.0; config.z_dim];
        config.latents_std = vec![1.0; config.z_dim];
    }
    let (_folder, checkpoint) = made_up(&shapes::encoder(table), DType::F32)?;
    let video @ [frames, height, width] = [5, 64, 96];
    let planes = input("pixels.input", &[1, 3, frames, height, width]);
    let area = height * width;
    let options = DecodeOptions::default();
    let encoder = VaeEncoder::new(gpu, &config, &checkpoint, video, &options)?;
    let mut read = |number: usize, into: &mut [f32]| {
        for (at, value) in into.iter_mut().enumerate() {
            *value = planes[(at % 3 * frames + number) * area + at / 3];
        }
        Ok(())
    };
    let latents = encoder.encode(&Cancel::new(), &mut read, |_, _| Ok(()))?;
    expected.close("latents", &latents)
}

/// One layer of UMT5-XXL and the final norm.
fn text_layer(gpu: &Gpu) -> Result<(), Failed> {
    let expected = Expected::open("text_layer")?;
    let ModelConfig { text_encoder, .. } = ModelFolder::like("wan2.1-1.3b")?.config()?;
    let mut config = text_encoder;
    (config.num_layers, config.vocab_size) = (1, 1000);
    let (_folder, checkpoint) = made_up(&shapes::text_encoder(&config), DType::BF16)?;
    let checkpoint = Arc::new(checkpoint);
    let passes = TextPasses::record(gpu.caps(), &config, &checkpoint, &[37])?;
    let encoder = TextEncoder::new(gpu, Arc::new(passes));
    let ids: Vec<u32> = (0..37).map(|i| i * 27 % 1000).collect();
    let found = encoder.encode(&[&ids], &Cancel::new(), &mut |_| {})?;
    expected.close("embeds", &found.concat())
}

/// A whole decoder on two latent frames: the first and a later one.
fn decoder(gpu: &Gpu, model: &str) -> Result<(), Failed> {
    let (part, table) = match model {
        "wan2.2-5b" => ("vae_22", shapes::WAN22_VAE),
        _ => ("vae_21", shapes::WAN21_VAE),
    };
    let expected = Expected::open(part)?;
    let ModelConfig { vae: config, .. } = ModelFolder::like(model)?.config()?;
    let (_folder, checkpoint) = made_up(&shapes::decoder(table), DType::F32)?;
    let (channels, frames, area) = (config.z_dim, 2, 4 * 6);
    let latents = input("latents.input", &[1, channels, frames, 4, 6]);
    // As `fixtures/oracle/full_size.py` has them: Wan 2.1's own; of 2.2 the latents as they are.
    let statistics: Vec<f32> = match part {
        "vae_22" => [vec![1.0; channels], vec![0.0; channels]].concat(),
        _ => {
            let own = config.latents_std.iter().chain(&config.latents_mean);
            own.map(|&v| v as f32).collect()
        }
    };
    let mut run = Run::new(gpu)
        .checkpoint(checkpoint)
        .input("statistics", Input::F32(&statistics));
    for frame in 0..frames {
        let of_channel = |c: usize| &latents[(c * frames + frame) * area..][..area];
        let part: Vec<f32> = (0..channels).flat_map(of_channel).copied().collect();
        run = run.input(&format!("latents {frame}"), Input::F32(&part));
    }
    let found = run.record(|rec, source| {
        let statistics = rec.input("statistics", [2, channels], DType::F32)?;
        let mut wanted = Vec::new();
        for frame in 0..frames {
            let name = format!("latents {frame}");
            let latents = rec.input(&name, [channels, 1, 4, 6], DType::F32)?;
            let mut network = Network::new(source, &config, frame == 0);
            let split = network.head(rec, &latents, &statistics)?;
            wanted.push(network.tail(rec, &split, None)?);
        }
        Ok(wanted)
    })?;
    for (frame, found) in found.iter().enumerate() {
        expected.close(&format!("frame{frame}"), found)?;
    }
    Ok(())
}

/// The first frames of the real latents through a full-size Wan 2.1 decoder, within what all of
/// them would be planned to take. How many latent frames: `KINORA_LATENT_FRAMES`, 2 unless given.
fn real_latents(gpu: &Gpu) -> Result<(), Failed> {
    let file = repository().join("../shared/latents/wan21_cheesecake.safetensors");
    let latents = Latents::read(&file)?;
    let [_, channels, all, height, width] = latents.shape;
    let frames = std::env::var("KINORA_LATENT_FRAMES").ok();
    let frames = frames.and_then(|n| n.parse().ok()).unwrap_or(2).min(all);
    let ModelConfig { vae: config, .. } = ModelFolder::like("wan2.1-1.3b")?.config()?;
    let (_folder, checkpoint) = made_up(&shapes::decoder(shapes::WAN21_VAE), DType::F32)?;
    let options = DecodeOptions {
        max_bytes: Some(2_000_000_000),
        ..DecodeOptions::default()
    };
    let whole = [channels, all, height, width];
    let planned =
        kinora::models::vae::decode_layout(gpu.caps(), &config, &checkpoint, whole, &options)?;
    let (before, area) = (gpu.memory().current, height * width);
    let some: Vec<f32> = latents
        .values
        .chunks_exact(all * area)
        .flat_map(|channel| &channel[..frames * area])
        .copied()
        .collect();
    let shape = [channels, frames, height, width];
    let decoder = VaeDecoder::new(gpu, &config, &checkpoint, shape, &options)?;
    let mut shades = std::collections::BTreeSet::<u8>::new();
    let mut count = 0;
    decoder.decode(&some, &Cancel::new(), |_, frame| {
        shades.extend(frame);
        count += 1;
        Ok(())
    })?;
    let peak = gpu.memory().peak - before;
    let (planned, band) = (planned.peak_bytes(), decoder.layout().band);
    println!(
        "  {count} frames of {}x{}, band {band:?}: {peak} bytes, {planned} planned for all",
        width * 8,
        height * 8
    );
    match peak <= planned && count == 4 * frames - 3 && shades.len() > 16 {
        true => Ok(()),
        false => Err(format!("{peak} of {planned} bytes, {count} frames").into()),
    }
}

/// Bits of the first three values of some tensors.
const VALUES: [[u32; 3]; 3] = [
    [0xbeda_3987, 0x3f03_896c, 0xbead_7bb4],
    [0x3f6c_1abb, 0x3f7a_f228, 0x3f57_fc22],
    [0x3b1b_eb52, 0x3bdd_ed7c, 0xbb1e_962a],
];
