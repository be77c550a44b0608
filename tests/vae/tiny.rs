//! The tiny decoders against the reference's frames, and the promises about chunks, bands and
//! memory, which they share with the large ones.

use kinora::gpu::Gpu;
use kinora::models::config::VaeConfig;
use kinora::models::latent_rgb::LatentRgb;
use kinora::models::vae::tiny::{TinyLatents, TinyVae};
use kinora::models::vae::{Architecture, DecodeOptions, VaeDecoder};
use kinora::sampling::{Noise, randn};
use kinora::tensor::DType;
use kinora::weights::{Checkpoint, Latents};
use libtest_mimic::{Failed, Trial};

use crate::harness::data::{checkpoint, values};
use crate::harness::device_test;
use crate::{all_frames, folder, frames_of, same, same_in_bands, same_in_chunks};

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (name, model) in [("tiny21", "wan21"), ("tiny22", "ti2v")] {
        let of = move |gpu: &Gpu, test: fn(&Gpu, &Tiny) -> Result<(), Failed>| {
            test(gpu, &Tiny::open(name, model)?)
        };
        let test =
            |what: &str, test| device_test(format!("{what}/{name}"), move |gpu| of(gpu, test));
        trials.push(test("frames", frames));
        trials.push(test("scaled latents", scaled_latents));
        trials.push(test("chunks", chunks));
        trials.push(test("bands", bands));
        trials.push(test("memory", memory));
    }
    for (name, channels, patch, latents) in [
        ("tiny21_full", 16, 1, [16, 2, 5, 4]),
        ("tiny22_full", 48, 2, [48, 1, 3, 2]),
    ] {
        trials.push(device_test(format!("frames/{name}"), move |gpu| {
            full_size(gpu, name, channels, patch, latents)
        }));
    }
    trials.push(Trial::test("tiny refusals", refusals));
    trials.push(Trial::test("which latents a file takes", told_by_name));
    let latents = folder("../../../shared/latents/wan21_cheesecake.safetensors");
    let absent = !latents.is_file();
    let test = Trial::test("colours/cheesecake", move || cheesecake(&latents));
    trials.push(test.with_ignored_flag(absent));
    trials
}

/// A tiny decoder and the latents that its frames are of.
struct Tiny {
    name: &'static str,
    vae: TinyVae,
    checkpoint: Checkpoint,
}

fn vae_config(model: &str) -> Result<VaeConfig, Failed> {
    let file = folder(model).join("model/vae/config.json");
    Ok(VaeConfig::parse("config.json", &std::fs::read(file)?)?)
}

fn part(name: &str) -> std::path::PathBuf {
    folder("parts").join(format!("{name}.safetensors"))
}

impl Tiny {
    fn open(name: &'static str, model: &str) -> Result<Self, Failed> {
        let checkpoint = Checkpoint::open(part(name), "tiny decoder")?;
        Ok(Self {
            name,
            vae: TinyVae::of(&checkpoint, &vae_config(model)?)?,
            checkpoint,
        })
    }

    fn decode(
        &self,
        gpu: &Gpu,
        (latents, shape): &(Vec<f32>, [usize; 4]),
        options: &DecodeOptions,
    ) -> Result<Vec<u8>, Failed> {
        let decoder = VaeDecoder::new(gpu, &self.vae, &self.checkpoint, *shape, options)?;
        Ok(all_frames(&decoder, latents)?)
    }

    fn made_up(&self, frames: usize, height: usize, width: usize) -> (Vec<f32>, [usize; 4]) {
        let shape = [self.vae.channels(), frames, height, width];
        (values(7, shape.iter().product()), shape)
    }
}

fn frames(gpu: &Gpu, tiny: &Tiny) -> Result<(), Failed> {
    let file = part(&format!("{}_expected", tiny.name));
    let expected = Checkpoint::open(&file, "expected")?;
    let view = expected.get_any("latents")?;
    let shape: [usize; 4] = view.shape[1..].try_into()?;
    let found = tiny.decode(gpu, &(view.to_f32(), shape), &DecodeOptions::default())?;
    same(&found, &frames_of(&file)?)
}

/// A decoder of `latents · std + mean` makes of `latents` what the other makes of those; its file is
/// told by its name.
fn scaled_latents(gpu: &Gpu, tiny: &Tiny) -> Result<(), Failed> {
    let model = if tiny.name == "tiny21" {
        "wan21"
    } else {
        "ti2v"
    };
    let config = vae_config(model)?;
    let file = part(&format!("{}_expected", tiny.name));
    let expected = Checkpoint::open(&file, "expected")?;
    let view = expected.get_any("latents")?;
    let shape: [usize; 4] = view.shape[1..].try_into()?;
    let positions: usize = shape[1..].iter().product();
    let mut latents = view.to_f32();
    for (channel, values) in latents.chunks_mut(positions).enumerate() {
        let (mean, deviation) = (config.latents_mean[channel], config.latents_std[channel]);
        for value in values {
            *value = ((f64::from(*value) - mean) / deviation) as f32;
        }
    }
    let temporary = tempfile::tempdir()?;
    let renamed = temporary.path().join("lighttaew2_1.safetensors");
    std::fs::copy(part(tiny.name), &renamed)?;
    let checkpoint = Checkpoint::open(&renamed, "tiny decoder")?;
    let scaled = Tiny {
        vae: TinyVae::of(&checkpoint, &config)?,
        checkpoint,
        ..*tiny
    };
    let input = (latents, shape);
    let options = DecodeOptions::default();
    let found = scaled.decode(gpu, &input, &options)?;
    same(&found, &frames_of(&file)?)?;
    let raw = Tiny {
        vae: scaled.vae.clone().with_latents(TinyLatents::Raw),
        ..scaled
    };
    match raw.decode(gpu, &input, &options)? == found {
        false => Ok(()),
        true => Err("the latents are scaled against what was asked for".into()),
    }
}

fn told_by_name() -> Result<(), Failed> {
    for (file, expected) in [
        ("models/taew2_1.pth", TinyLatents::Raw),
        ("lighttae/taew2_2.safetensors", TinyLatents::Raw),
        ("lighttaew2_1.pth", TinyLatents::Scaled),
        ("models/LightTAEw2_2_bf16.safetensors", TinyLatents::Scaled),
    ] {
        let found = TinyLatents::of_file(std::path::Path::new(file));
        if found != expected || found.to_string().parse() != Ok(found) {
            return Err(format!("{file}: {found}").into());
        }
    }
    match "Raw".parse::<TinyLatents>() {
        Err(_) => Ok(()),
        Ok(_) => Err("another name was taken".into()),
    }
}

/// A decoder of the released widths, of weights that the reference draws likewise.
fn full_size(
    gpu: &Gpu,
    name: &str,
    channels: usize,
    patch: usize,
    shape: [usize; 4],
) -> Result<(), Failed> {
    let file = part(&format!("{name}_expected"));
    let last = Checkpoint::open(&file, "expected")?
        .get("last", &[2])?
        .to_f32();
    let mut shapes = released(channels, 3 * patch * patch);
    shapes.sort();
    let mut tensors = Vec::new();
    for (seed, (tensor, shape)) in (1000..).zip(shapes) {
        let fan_in: usize = shape[1..].iter().product();
        let scale = match shape.len() {
            1 => 0.1,
            _ => (1.5 / fan_in as f64).sqrt() as f32,
        };
        let mut values = randn(seed, shape.iter().product());
        for value in &mut values {
            *value *= scale;
            match tensor.as_str() {
                "decoder.22.weight" => *value *= last[0],
                "decoder.22.bias" => *value += last[1],
                _ => {}
            }
        }
        tensors.push((tensor, shape, values));
    }
    let weights: Vec<_> = tensors
        .iter()
        .map(|(name, shape, values)| {
            (
                name.as_str(),
                shape.as_slice(),
                DType::F32,
                values.as_slice(),
            )
        })
        .collect();
    let checkpoint = checkpoint(&weights);
    let config = format!(
        r#"{{"_class_name": "AutoencoderKLWan", "z_dim": {channels}, "latents_mean": {zeros:?},
            "latents_std": {ones:?}, "out_channels": {values}, "in_channels": {values},
            "patch_size": {patch}, "scale_factor_spatial": {side}, "is_residual": {residual}}}"#,
        zeros = vec![0; channels],
        ones = vec![1; channels],
        values = 3 * patch * patch,
        side = 8 * patch,
        residual = patch > 1,
    );
    let config = VaeConfig::parse("config.json", config.as_bytes())?;
    let vae = TinyVae::of(&checkpoint, &config)?;
    let mut latents = vec![0.0; shape.iter().product()];
    Noise::new(9).fill(&mut latents);
    let decoder = VaeDecoder::new(gpu, &vae, &checkpoint, shape, &DecodeOptions::default())?;
    same(&all_frames(&decoder, &latents)?, &frames_of(&file)?)
}

/// Names and shapes of `taew2_1` and `taew2_2`, without their encoders.
fn released(channels: usize, values: usize) -> Vec<(String, Vec<usize>)> {
    const WIDTHS: [usize; 4] = [256, 128, 64, 64];
    let mut shapes = Vec::new();
    let mut put = |name: String, shape: &[usize]| {
        shapes.push((format!("decoder.{name}"), shape.to_vec()));
    };
    put("1.weight".into(), &[WIDTHS[0], channels, 3, 3]);
    put("1.bias".into(), &[WIDTHS[0]]);
    for (level, memory) in [3, 9, 15].into_iter().enumerate() {
        let width = WIDTHS[level];
        for block in memory..memory + 3 {
            for layer in [0, 2, 4] {
                let inputs = if layer == 0 { 2 * width } else { width };
                put(
                    format!("{block}.conv.{layer}.weight"),
                    &[width, inputs, 3, 3],
                );
                put(format!("{block}.conv.{layer}.bias"), &[width]);
            }
        }
        let grown = if level == 0 { width } else { 2 * width };
        put(format!("{}.conv.weight", memory + 4), &[grown, width, 1, 1]);
        put(
            format!("{}.weight", memory + 5),
            &[WIDTHS[level + 1], width, 3, 3],
        );
    }
    put("22.weight".into(), &[values, WIDTHS[3], 3, 3]);
    put("22.bias".into(), &[values]);
    shapes
}

fn chunks(gpu: &Gpu, tiny: &Tiny) -> Result<(), Failed> {
    let latents = tiny.made_up(6, 3, 5);
    same_in_chunks(&[1, 2, 5, 100], &|options| {
        tiny.decode(gpu, &latents, options)
    })
}

fn bands(gpu: &Gpu, tiny: &Tiny) -> Result<(), Failed> {
    let latents = tiny.made_up(3, 2 * tiny.vae.halos()[0] + 5, 1);
    same_in_bands(&[(1, 1), (2, 2), (4, 1)], &|options| {
        tiny.decode(gpu, &latents, options)
    })
}

/// A decode takes what its layout says, however many frames there are.
fn memory(gpu: &Gpu, tiny: &Tiny) -> Result<(), Failed> {
    for frames in [4, 9] {
        let (latents, shape) = tiny.made_up(frames, 4, 6);
        let options = DecodeOptions {
            chunk: Some(1),
            ..DecodeOptions::default()
        };
        let before = gpu.memory().current;
        gpu.reset_peak();
        let decoder = VaeDecoder::new(gpu, &tiny.vae, &tiny.checkpoint, shape, &options)?;
        all_frames(&decoder, &latents)?;
        let (peak, said) = (gpu.memory().peak - before, decoder.layout().peak_bytes());
        if peak != said {
            return Err(format!("a peak of {peak} bytes, said to be {said}").into());
        }
    }
    Ok(())
}

/// Real latents: a slice of cheesecake with berries and a leaf of mint on a white plate, in the dark.
fn cheesecake(file: &std::path::Path) -> Result<(), Failed> {
    let latents = Latents::read(file)?;
    let colours = LatentRgb::of(latents.shape[1]).ok_or("no colours")?;
    let [_, _, frames, h, w] = latents.shape;
    if [frames, h, w] != [16, 40, 64] {
        return Err(format!("latents are {:?}", latents.shape).into());
    }
    for t in 0..frames {
        let rgb = colours.frame(&latents, t);
        // The mean colour of a few latents.
        let mean = |left: usize, top: usize| {
            let mut sum = [0.0; 3];
            for (y, x) in (top..top + 4).flat_map(|y| (left..left + 4).map(move |x| (y, x))) {
                for (sum, colour) in sum.iter_mut().zip(&rgb[(y * w + x) * 3..]) {
                    *sum += colour.clamp(0.0, 1.0) / 16.0;
                }
            }
            sum
        };
        let [_, green, _] = mean(17, 7);
        let [red, _, blue] = mean(17, 7);
        let dark = mean(2, 0).iter().sum::<f32>();
        let berries = mean(30, 12).iter().sum::<f32>();
        let cake = mean(47, 18).iter().sum::<f32>();
        if green < red || green < blue || dark > 1.0 || berries > 1.2 || cake < 1.8 {
            let all = [mean(17, 7), mean(2, 0), mean(30, 12), mean(47, 18)];
            return Err(format!("frame {t}: mint, dark, berries, cake are {all:?}").into());
        }
    }
    Ok(())
}

fn refusals() -> Result<(), Failed> {
    let tiny = Checkpoint::open(part("tiny21"), "tiny decoder")?;
    let vae = Checkpoint::open(folder("wan21").join("model/vae"), "vae")?;
    let distilled = Checkpoint::open(part("distilled"), "tiny decoder")?;
    for (checkpoint, model, says) in [
        (
            &tiny,
            "ti2v",
            "it decodes latents of 8 channels, 4 frames of 8x8 pixels a latent, expected 12 channels, 4 frames of 16x16 pixels a latent, the model's",
        ),
        (
            &vae,
            "wan21",
            "there is no decoder.1.weight, expected the tensors of taew2_1",
        ),
        (&distilled, "wan21", "there is no decoder.1.weight"),
    ] {
        match TinyVae::of(checkpoint, &vae_config(model)?) {
            Err(error) if error.to_string().contains(says) => {}
            other => return Err(format!("{other:?}, expected {says}").into()),
        }
    }
    Ok(())
}
