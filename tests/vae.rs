//! The decoder and the encoder against the reference's frames, latents and layers, and the promises
//! about chunks, bands and memory.

#![allow(unreachable_pub, reason = "the modules of a test program are its own")]

#[path = "vae/encoder.rs"]
mod encoder;
mod harness;
#[path = "vae/layouts.rs"]
mod layouts;
#[path = "vae/memory.rs"]
mod memory;
#[path = "vae/tiny.rs"]
mod tiny;

use std::path::{Path, PathBuf};

use harness::compare::psnr;
use harness::{Input, Run, device_test};
use kinora::Error;
use kinora::gpu::{Cancel, Gpu};
use kinora::models::config::VaeConfig;
use kinora::models::vae::{Bands, DecodeOptions, Decoded, Features, Network, VaeDecoder, halos};
use kinora::tensor::{DType, Shape};
use kinora::weights::Checkpoint;
use libtest_mimic::Failed;
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
    }
    trials.push(device_test("cancel", cancel));
    trials.extend(memory::trials());
    trials.extend(tiny::trials());
    trials.extend(layouts::trials());
    trials.extend(encoder::trials());
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
    same(&found, &expected)
}

/// Frames within a shade of the reference's, which computes in another order: values beside a
/// boundary may round the other way.
fn same(found: &[u8], expected: &[u8]) -> Result<(), Failed> {
    if found.len() != expected.len() {
        return Err(format!("{} bytes, expected {}", found.len(), expected.len()).into());
    }
    let quality = psnr(found, expected);
    println!("  {quality:.1} dB");
    if quality < 50.0 {
        return Err(format!("{quality:.1} dB, expected at least 50").into());
    }
    let mut both = found.iter().zip(expected);
    match both.find(|(a, b)| a.abs_diff(**b) > 1) {
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
            let split: Features = network.head(rec, &latents, &statistics)?;
            network.tail(rec, &split, None)?;
            for (layer, x) in network.layers() {
                names.push(format!("vae.frame{frame}.{layer}"));
                shapes.push(x.shape);
                wanted.push(*x);
            }
        }
        Ok(wanted)
    })?;
    for ((name, found), shape) in names.iter().zip(&found).zip(shapes) {
        same_corner(&model.expected, name, found, shape)?;
    }
    Ok(())
}

/// The upper left corner of what a layer gives, [T, H, W, C], is the tensor `name`, [1, C, T, H, W].
fn same_corner(
    expected: &Checkpoint,
    name: &str,
    found: &[f32],
    shape: Shape,
) -> Result<(), Failed> {
    let view = expected.get_any(name)?;
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
    Ok(())
}

/// The picture is the same in chunks of so many latent frames.
fn same_in_chunks(
    chunks: &[usize],
    decode: &dyn Fn(&DecodeOptions) -> Result<Vec<u8>, Failed>,
) -> Result<(), Failed> {
    let mut first = None;
    for &chunk in chunks {
        let found = decode(&DecodeOptions {
            chunk: Some(chunk),
            ..DecodeOptions::default()
        })?;
        if *first.get_or_insert_with(|| found.clone()) != found {
            return Err(format!("chunks of {chunk} change the picture").into());
        }
    }
    Ok(())
}

/// The picture is the same in bands of so many lines, in chunks of so many latent frames.
fn same_in_bands(
    bands: &[(usize, usize)],
    decode: &dyn Fn(&DecodeOptions) -> Result<Vec<u8>, Failed>,
) -> Result<(), Failed> {
    let options = DecodeOptions {
        bands: Bands::Off,
        ..DecodeOptions::default()
    };
    let whole = decode(&options)?;
    for &(lines, chunk) in bands {
        let found = decode(&DecodeOptions {
            bands: Bands::Lines(lines),
            chunk: Some(chunk),
            ..options
        })?;
        if found != whole {
            return Err(format!("bands of {lines} lines change the picture").into());
        }
    }
    Ok(())
}

/// All frames; a decode in bands tells of every pass, most of them before there is a frame.
fn frames_and_passes(
    decoder: &VaeDecoder,
    (latents, shape): &(Vec<f32>, [usize; 4]),
) -> Result<Vec<u8>, Failed> {
    let (mut video, mut passes, mut before_frames) = (Vec::new(), Vec::new(), 0);
    decoder.decode_telling(latents, &Cancel::new(), |decoded| {
        match decoded {
            Decoded::Passes(done, of) => passes.push((done, of)),
            Decoded::Frame(number, frame) => {
                if number == 0 {
                    before_frames = passes.len();
                }
                video.extend(frame.read()?.iter());
            }
        }
        Ok(())
    })?;
    let layout = decoder.layout();
    // The first frame is a pass of its own.
    let chunks = 1 + (shape[1] - 1).div_ceil(layout.chunk);
    let total = match layout.band {
        Some(lines) => chunks * (1 + shape[2].div_ceil(lines)),
        None => 0,
    };
    let expected: Vec<_> = (1..=total).map(|done| (done, total)).collect();
    if passes != expected || before_frames != total.saturating_sub(chunks) {
        return Err(format!("{passes:?}, {before_frames} before the first frame").into());
    }
    Ok(video)
}

fn chunks(gpu: &Gpu, name: &str) -> Result<(), Failed> {
    let model = Model::open(name)?;
    let latents = model.made_up(8, 3, 5);
    same_in_chunks(&[1, 2, 3, 7, 100], &|options| {
        Ok(model.decode(gpu, &latents, options)?)
    })
}

fn bands(gpu: &Gpu, name: &str) -> Result<(), Failed> {
    let model = Model::open(name)?;
    let latents = model.made_up(3, 2 * halos(&model.config)[0] + 5, 1);
    same_in_bands(&[(1, 1), (2, 2), (4, 1), (100, 2)], &|options| {
        let decoder = model.decoder(gpu, latents.1, options)?;
        let expected = match options.bands {
            Bands::Lines(lines) if lines < 5 => Some(lines),
            _ => None,
        };
        if decoder.layout().band != expected {
            let found = decoder.layout().band;
            return Err(format!("{:?} became {found:?}", options.bands).into());
        }
        frames_and_passes(&decoder, &latents)
    })
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
    if !matches!(stopped, Err(Error::Cancelled)) || frames != 5 {
        return Err(format!("{stopped:?} after {frames} frames").into());
    }
    match all_frames(&decoder, &latents.0)? == undisturbed {
        true => Ok(()),
        false => Err("a cancelled decode changes the next".into()),
    }
}
