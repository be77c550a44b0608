//! The decoder against the reference's frames and layers, and the promises about chunks, bands
//! and memory.

#![allow(unreachable_pub, reason = "the modules of a test program are its own")]

mod harness;
#[path = "vae/tiny.rs"]
mod tiny;

use std::io::Write;
use std::path::{Path, PathBuf};

use harness::compare::psnr;
use harness::{Input, Run, device_test};
use kinora::Error;
use kinora::error::{GpuError, VaeError};
use kinora::gpu::{Cancel, Gpu};
use kinora::models::config::VaeConfig;
use kinora::models::wan_vae::{
    Bands, DecodeOptions, Features, Network, VaeDecoder, decode_layout, halos,
};
use kinora::record::{Caps, DeviceClass};
use kinora::tensor::DType;
use kinora::weights::{Checkpoint, SafetensorsHeader};
use libtest_mimic::{Failed, Trial};
use safetensors::SafeTensors;

/// The fixtures: Wan 2.1 twice, an image, and Wan 2.2.
const FIXTURES: [&str; 4] = ["wan21", "a14b", "image_euler", "ti2v"];

fn main() {
    let mut trials = Vec::new();
    for name in FIXTURES {
        trials.push(device_test(format!("frames/{name}"), move |gpu| {
            frames(gpu, name)
        }));
        trials.push(device_test(format!("layers/{name}"), move |gpu| {
            layers(gpu, name)
        }));
    }
    for name in ["wan21", "ti2v"] {
        trials.push(device_test(format!("chunks/{name}"), move |gpu| {
            chunks(gpu, name)
        }));
        trials.push(device_test(format!("bands/{name}"), move |gpu| {
            bands(gpu, name)
        }));
        trials.push(device_test(format!("memory/{name}"), move |gpu| {
            memory(gpu, name)
        }));
    }
    trials.push(device_test("memory/bands/wan21", |gpu| {
        memory_of_bands(gpu, "wan21")
    }));
    trials.push(device_test("memory/bands/ti2v", |gpu| {
        memory_of_bands(gpu, "ti2v")
    }));
    trials.push(device_test("memory/a limit brings bands", limit));
    trials.push(device_test("cancel", cancel));
    trials.extend(tiny::trials());
    trials.push(Trial::test("refusals", refusals));
    trials.push(Trial::test("released sizes", released));
    harness::run(trials);
}

/// A fixture's autoencoder.
struct Model {
    config: VaeConfig,
    checkpoint: Checkpoint,
    expected: Checkpoint,
}

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures")
        .join(name)
}

/// The reference's frames, [F, H, W, 3].
fn expected_frames(name: &str) -> Result<Vec<u8>, Failed> {
    frames_of(&folder(name).join("expected.safetensors"))
}

/// The tensor `frames` of a file.
fn frames_of(file: &Path) -> Result<Vec<u8>, Failed> {
    let file = std::fs::read(file)?;
    Ok(SafeTensors::deserialize(&file)?
        .tensor("frames")?
        .data()
        .to_vec())
}

impl Model {
    fn open(name: &str) -> Result<Self, Failed> {
        let folder = folder(name);
        let vae = folder.join("model/vae");
        Ok(Self {
            config: VaeConfig::parse("vae/config.json", &std::fs::read(vae.join("config.json"))?)?,
            checkpoint: Checkpoint::open(&vae, "vae")?,
            expected: Checkpoint::open(folder.join("expected.safetensors"), "expected")?,
        })
    }

    /// The fixture's latents, and their shape [C, T, h, w].
    fn latents(&self) -> Result<(Vec<f32>, [usize; 4]), Failed> {
        let view = self.expected.get_any("latents")?;
        let shape: [usize; 4] = view.shape[1..].try_into()?;
        Ok((view.to_f32(), shape))
    }

    /// Latents of another size.
    fn made_up(&self, frames: usize, height: usize, width: usize) -> (Vec<f32>, [usize; 4]) {
        let shape = [self.config.z_dim, frames, height, width];
        (harness::data::values(7, shape.iter().product()), shape)
    }

    fn decoder(
        &self,
        gpu: &Gpu,
        shape: [usize; 4],
        options: &DecodeOptions,
    ) -> Result<VaeDecoder<'_>, Error> {
        VaeDecoder::new(gpu, &self.config, &self.checkpoint, shape, options)
    }

    /// All frames, one after the other.
    fn decode(
        &self,
        gpu: &Gpu,
        (latents, shape): &(Vec<f32>, [usize; 4]),
        options: &DecodeOptions,
    ) -> Result<Vec<u8>, Error> {
        all_frames(&self.decoder(gpu, *shape, options)?, latents)
    }
}

fn all_frames(decoder: &VaeDecoder, latents: &[f32]) -> Result<Vec<u8>, Error> {
    let mut video = Vec::new();
    let mut next = 0;
    decoder.decode(latents, &Cancel::new(), |number, frame| {
        assert_eq!(number, next, "frames out of order");
        next += 1;
        video.extend(frame);
        Ok(())
    })?;
    assert_eq!(next, decoder.frames());
    Ok(video)
}

fn frames(gpu: &Gpu, name: &str) -> Result<(), Failed> {
    let model = Model::open(name)?;
    let found = model.decode(gpu, &model.latents()?, &DecodeOptions::default())?;
    let expected = expected_frames(name)?;
    if found.len() != expected.len() {
        return Err(format!("{} bytes, expected {}", found.len(), expected.len()).into());
    }
    let quality = psnr(&found, &expected);
    if quality < 50.0 {
        return Err(format!("{quality:.1} dB, expected at least 50").into());
    }
    // The reference computes in another order: values beside a boundary may round the other way.
    match found
        .iter()
        .zip(&expected)
        .find(|(a, b)| a.abs_diff(**b) > 1)
    {
        None => Ok(()),
        Some((a, b)) => Err(format!("a shade of {a}, expected {b}").into()),
    }
}

/// The layers of the first three latent frames, and the pixels before they become bytes.
fn layers(gpu: &Gpu, name: &str) -> Result<(), Failed> {
    let model = Model::open(name)?;
    let (latents, [channels, frames, height, width]) = model.latents()?;
    let frames = frames.min(3);
    let mut names = Vec::new();
    let config = &model.config;
    let statistics: Vec<f32> = config
        .latents_std
        .iter()
        .chain(&config.latents_mean)
        .map(|&v| v as f32)
        .collect();
    let mut run = Run::new(gpu)
        .checkpoint(Model::open(name)?.checkpoint)
        .input("statistics", Input::F32(&statistics));
    let all = model.latents()?.1[1];
    for frame in 0..frames {
        let area = height * width;
        let part: Vec<f32> = (0..channels)
            .flat_map(|c| &latents[(c * all + frame) * area..][..area])
            .copied()
            .collect();
        run = run.input(&format!("latents {frame}"), Input::F32(&part));
    }
    let mut shapes = Vec::new();
    let found = run.record(|rec, source| {
        let mut wanted = Vec::new();
        let statistics = rec.input("statistics", [2, channels], DType::F32)?;
        for frame in 0..frames {
            let latents = rec.input(
                &format!("latents {frame}"),
                [channels, 1, height, width],
                DType::F32,
            )?;
            let mut network = Network::new(source, config, frame == 0);
            let seam: Features = network.head(rec, &latents, &statistics)?;
            network.tail(rec, &seam, None)?;
            for (layer, x) in network.layers() {
                names.push(format!("vae.frame{frame}.{layer}"));
                shapes.push(x.shape);
                wanted.push(*x);
            }
        }
        Ok(wanted)
    })?;
    for ((name, found), shape) in names.iter().zip(&found).zip(shapes) {
        let view = model.expected.get_any(name)?;
        // [1, C, T, H, W], the upper left corner.
        let &[_, c, t, h, w] = view.shape else {
            return Err("five dimensions".into());
        };
        let expected = view.to_f32();
        let largest = expected.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        for (at, &expected) in expected.iter().enumerate() {
            let (x, y, frame, channel) = (at % w, at / w % h, at / (w * h) % t, at / (w * h * t));
            let found = found[((frame * shape[1] + y) * shape[2] + x) * c + channel];
            if (found - expected).abs() > 1e-4 * largest.max(1.0) || !found.is_finite() {
                return Err(format!("{name}: {found} for {expected} at channel {channel}, frame {frame}, line {y}, column {x}").into());
            }
        }
    }
    Ok(())
}

fn chunks(gpu: &Gpu, name: &str) -> Result<(), Failed> {
    let model = Model::open(name)?;
    let latents = model.made_up(8, 3, 5);
    let mut first = None;
    for chunk in [1, 2, 3, 7, 100] {
        let options = DecodeOptions {
            chunk: Some(chunk),
            ..DecodeOptions::default()
        };
        let found = model.decode(gpu, &latents, &options)?;
        if *first.get_or_insert_with(|| found.clone()) != found {
            return Err(format!("chunks of {chunk} change the picture").into());
        }
    }
    Ok(())
}

fn bands(gpu: &Gpu, name: &str) -> Result<(), Failed> {
    let model = Model::open(name)?;
    let latents = model.made_up(3, 2 * halos(&model.config)[0] + 5, 1);
    let options = DecodeOptions {
        bands: Bands::Off,
        ..DecodeOptions::default()
    };
    let whole = model.decode(gpu, &latents, &options)?;
    for (lines, chunk) in [(1, 1), (2, 2), (4, 1), (100, 2)] {
        let options = DecodeOptions {
            bands: Bands::Lines(lines),
            chunk: Some(chunk),
            ..options
        };
        let decoder = model.decoder(gpu, latents.1, &options)?;
        if decoder.layout().band != (lines < 5).then_some(lines) {
            return Err(
                format!("a band of {lines} lines became {:?}", decoder.layout().band).into(),
            );
        }
        if all_frames(&decoder, &latents.0)? != whole {
            return Err(format!("bands of {lines} lines change the picture").into());
        }
    }
    Ok(())
}

/// Memory does not grow with the number of frames, and is what the layout says.
fn memory(gpu: &Gpu, name: &str) -> Result<(), Failed> {
    let model = Model::open(name)?;
    let mut peaks = Vec::new();
    // 81 and 321 frames, both of whole chunks: a remainder is a recording more.
    let options = DecodeOptions {
        chunk: Some(4),
        ..DecodeOptions::default()
    };
    for latent_frames in [21, 81] {
        let latents = model.made_up(latent_frames, 1, 2);
        let before = gpu.memory().current;
        gpu.reset_peak();
        let decoder = model.decoder(gpu, latents.1, &options)?;
        let made = gpu.memory().current - before;
        let said = decoder.layout().memory.total();
        if made != said {
            return Err(format!("{made} bytes, said to be {said}").into());
        }
        all_frames(&decoder, &latents.0)?;
        let peak = gpu.memory().peak - before;
        let said = decoder.layout().peak_bytes();
        if peak != said {
            return Err(format!("a peak of {peak} bytes, said to be {said}").into());
        }
        println!(
            "  {} frames: {peak} bytes of device memory at most",
            decoder.frames()
        );
        peaks.push(peak);
    }
    match peaks.as_slice() {
        [short, long] if short == long => Ok(()),
        _ => Err(format!("bytes grow with the frames: {peaks:?}").into()),
    }
}

/// In bands the halves of the network take turns: a decode takes what its larger half does, and
/// leaves nothing on the device.
fn memory_of_bands(gpu: &Gpu, name: &str) -> Result<(), Failed> {
    let model = Model::open(name)?;
    let latents = model.made_up(5, 40, 2);
    let options = DecodeOptions {
        bands: Bands::Lines(3),
        ..DecodeOptions::default()
    };
    let before = gpu.memory().current;
    gpu.reset_peak();
    let decoder = model.decoder(gpu, latents.1, &options)?;
    for _ in 0..2 {
        all_frames(&decoder, &latents.0)?;
    }
    let (peak, left) = (gpu.memory().peak - before, gpu.memory().current - before);
    let said = decoder.layout().peak_bytes();
    if (peak, left) != (said, 0) {
        return Err(format!("a peak of {peak} bytes, {left} left; said to be {said}").into());
    }
    Ok(())
}

fn limit(gpu: &Gpu) -> Result<(), Failed> {
    let model = Model::open("wan21")?;
    let latents = model.made_up(2, 40, 2);
    let options = DecodeOptions::default();
    let whole = model.decoder(gpu, latents.1, &options)?;
    let enough = whole.layout().peak_bytes();
    let options = DecodeOptions {
        max_bytes: Some(enough - 1_000_000),
        ..options
    };
    let banded = model.decoder(gpu, latents.1, &options)?;
    if banded.layout().band.is_none() || banded.layout().peak_bytes() >= enough {
        return Err(format!("{:?} within {enough} bytes", banded.layout()).into());
    }
    match all_frames(&whole, &latents.0)? == all_frames(&banded, &latents.0)? {
        true => Ok(()),
        false => Err("the limit changes the picture".into()),
    }
}

/// A decode that was stopped leaves nothing behind for the next.
fn cancel(gpu: &Gpu) -> Result<(), Failed> {
    let model = Model::open("wan21")?;
    let latents = model.latents()?;
    let options = DecodeOptions {
        chunk: Some(1),
        ..DecodeOptions::default()
    };
    let decoder = model.decoder(gpu, latents.1, &options)?;
    let undisturbed = all_frames(&decoder, &latents.0)?;
    let cancel = Cancel::new();
    let mut frames = 0;
    let stopped = decoder.decode(&latents.0, &cancel, |number, _| {
        frames += 1;
        if number == 2 {
            cancel.cancel();
        }
        Ok(())
    });
    if !matches!(stopped, Err(Error::Gpu(GpuError::Cancelled))) || frames != 5 {
        return Err(format!("{stopped:?} after {frames} frames").into());
    }
    match all_frames(&decoder, &latents.0)? == undisturbed {
        true => Ok(()),
        false => Err("a cancelled decode changes the next".into()),
    }
}

/// What is refused, in words, without a device.
fn refusals() -> Result<(), Failed> {
    let model = Model::open("wan21")?;
    let caps = Caps::least();
    let sentence = |caps: &Caps, shape, options: &DecodeOptions| match decode_layout(
        caps,
        &model.config,
        &model.checkpoint,
        shape,
        options,
    ) {
        Ok(layout) => format!("{layout:?}"),
        Err(error) => error.to_string(),
    };
    let options = DecodeOptions::default();
    let tight = DecodeOptions {
        max_bytes: Some(1 << 20),
        ..options
    };
    let found = sentence(&caps, [8, 3, 40, 30], &tight);
    if !found.starts_with("decoder: 240x320 pixels need ")
        || !found.contains("bands of one latent line")
    {
        return Err(found.into());
    }
    let small = Caps {
        max_binding_bytes: 100_000,
        ..caps.clone()
    };
    let found = sentence(&small, [8, 3, 40, 400], &options);
    if !found.contains("the device allows 100000") {
        return Err(found.into());
    }
    let found = sentence(&caps, [7, 3, 4, 4], &options);
    if !found.contains("7 channels, expected 8") {
        return Err(found.into());
    }
    let none = DecodeOptions {
        chunk: Some(0),
        ..options
    };
    let found = decode_layout(&caps, &model.config, &model.checkpoint, [8, 3, 4, 4], &none);
    if !matches!(found, Err(Error::Vae(VaeError::Zero { .. }))) {
        return Err(format!("{found:?}").into());
    }
    Ok(())
}

/// A checkpoint of the shapes in a table of `fixtures/released`, all zeros: the file is a hole.
fn hollow(table: &str) -> Result<(tempfile::TempDir, Checkpoint), Failed> {
    let mut header = SafetensorsHeader::default();
    for line in table.lines() {
        let (name, shape) = line.split_once('\t').ok_or("a name and a shape")?;
        let shape = shape
            .split('x')
            .map(str::parse)
            .collect::<Result<Vec<usize>, _>>()?;
        header.tensor(name, DType::F32, &shape)?;
    }
    let start = header.to_bytes();
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("diffusion_pytorch_model.safetensors");
    let mut file = std::fs::File::create(&path)?;
    file.write_all(&start)?;
    file.set_len((start.len() + header.data_len()) as u64)?;
    let checkpoint = Checkpoint::open(&path, "vae")?;
    Ok((folder, checkpoint))
}

/// The released autoencoders at their own sizes: names, shapes, memory, bands.
fn released() -> Result<(), Failed> {
    let wan21 = r#"{"_class_name": "AutoencoderKLWan"}"#.to_owned();
    let wan22 = serde_json::json!({
        "_class_name": "AutoencoderKLWan", "base_dim": 160, "decoder_base_dim": 256, "z_dim": 48,
        "is_residual": true, "in_channels": 12, "out_channels": 12, "patch_size": 2,
        "scale_factor_spatial": 16, "latents_mean": vec![0.0; 48], "latents_std": vec![1.0; 48],
    })
    .to_string();
    let wan21_table = include_str!("fixtures/released/wan21_vae.tsv");
    let wan22_table = include_str!("fixtures/released/wan22_vae.tsv");
    // Latents, the histories of whole frames in bytes, and limits in GiB that bring bands.
    for (config, table, latents, states, limits) in [
        (
            &wan21,
            wan21_table,
            [16, 21, 60, 104],
            3_777_146_880,
            [4, 3],
        ),
        (
            &wan21,
            wan21_table,
            [16, 21, 90, 160],
            8_716_492_800,
            [8, 4],
        ),
        (
            &wan22,
            wan22_table,
            [48, 31, 44, 80],
            6_431_744_000,
            [12, 8],
        ),
    ] {
        let config = VaeConfig::parse("vae/config.json", config.as_bytes())?;
        let (_folder, checkpoint) = hollow(table)?;
        let card = Caps {
            class: DeviceClass::Discrete,
            max_binding_bytes: u64::from(u32::MAX) - 3,
            max_buffer_bytes: 1 << 40,
            ..Caps::least()
        };
        let layout = |gib: Option<u64>| {
            let options = DecodeOptions {
                max_bytes: gib.map(|g| g << 30),
                ..DecodeOptions::default()
            };
            decode_layout(&card, &config, &checkpoint, latents, &options)
        };
        let whole = layout(None)?;
        if whole.band.is_some() || whole.memory.states != states {
            return Err(
                format!("{latents:?}: {whole:?}, expected {states} bytes of states").into(),
            );
        }
        for gib in limits {
            let banded = layout(Some(gib))?;
            if banded.band.is_none() || banded.peak_bytes() > gib << 30 {
                return Err(format!("{latents:?} within {gib} GiB: {banded:?}").into());
            }
        }
    }
    // On the least of devices Wan 2.1 needs bands for its bindings alone.
    let (_folder, checkpoint) = hollow(wan21_table)?;
    let config = VaeConfig::parse("vae/config.json", wan21.as_bytes())?;
    let options = DecodeOptions::default();
    let layout = decode_layout(
        &Caps::least(),
        &config,
        &checkpoint,
        [16, 21, 90, 160],
        &options,
    )?;
    if layout.band.is_none() {
        return Err(format!("{layout:?}").into());
    }
    Ok(())
}
