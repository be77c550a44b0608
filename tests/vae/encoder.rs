//! The encoder against the reference's latents and layers, and the promises about chunks, bands and
//! memory.

use kinora::Error;
use kinora::error::VaeError;
use kinora::gpu::{Cancel, Gpu};
use kinora::models::config::VaeConfig;
use kinora::models::vae::{
    Bands, EncodeOptions, EncoderNetwork, VaeEncoder, encode_layout, encoder_halo,
};
use kinora::record::Caps;
use kinora::tensor::DType;
use kinora::weights::Checkpoint;
use libtest_mimic::{Failed, Trial};

use super::harness::{Input, Run, device_test};

const FIXTURES: [(&str, [usize; 2]); 2] = [("encoder21", [40, 24]), ("encoder22", [48, 32])];

/// Relative L2 distance of the latents; the reference's own rounding is below 1e-6.
const BOUND: f64 = 3e-6;

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![Trial::test("encode/refusals", refusals)];
    for (name, size) in FIXTURES {
        for frames in [1, 5, 9, 17] {
            let test = move |gpu: &Gpu| latents(gpu, name, frames, size);
            trials.push(device_test(
                format!("encode/latents/{name}/{frames} frames"),
                test,
            ));
        }
        type Test = fn(&Gpu, &str) -> Result<(), Failed>;
        let tests: [(&str, Test); 6] = [
            ("layers", layers),
            ("chunks", chunks),
            ("bands", bands),
            ("memory", memory),
            ("cancel", cancel),
            ("shared", shared),
        ];
        for (what, test) in tests {
            let trial = format!("encode/{what}/{name}");
            trials.push(device_test(trial, move |gpu| test(gpu, name)));
        }
    }
    trials
}

struct Model {
    config: VaeConfig,
    checkpoint: Checkpoint,
    expected: Checkpoint,
}

impl Model {
    fn open(name: &str) -> Result<Self, Failed> {
        let folder = super::folder("parts").join(name);
        let config = std::fs::read(folder.join("config.json"))?;
        let weights = folder.join("diffusion_pytorch_model.safetensors");
        Ok(Self {
            config: VaeConfig::parse("vae/config.json", &config)?,
            checkpoint: Checkpoint::open(weights, "vae")?,
            expected: Checkpoint::open(folder.join("expected.safetensors"), "expected")?,
        })
    }

    fn encoder(
        &self,
        gpu: &Gpu,
        video: [usize; 3],
        options: &EncodeOptions,
    ) -> Result<VaeEncoder<'_>, Error> {
        VaeEncoder::new(gpu, &self.config, &self.checkpoint, video, options)
    }

    fn encode(
        &self,
        gpu: &Gpu,
        video: [usize; 3],
        options: &EncodeOptions,
    ) -> Result<Vec<f32>, Error> {
        encoded(&self.encoder(gpu, video, options)?, video)
    }

    /// Height and width of so many latents.
    fn sides(&self, [height, width]: [usize; 2]) -> [usize; 2] {
        let side = self.config.scale_factor_spatial;
        [height * side, width * side]
    }
}

/// The video of `oracle/encoder.py`: value n of [F, H, W, 3].
fn pixel(n: usize) -> f32 {
    let byte = (n as u32 + 1).wrapping_mul(2_654_435_761) >> 24;
    byte as f32 / 127.5 - 1.0
}

fn read_frame([_, height, width]: [usize; 3], number: usize, into: &mut [f32]) {
    let frame = height * width * 3;
    assert_eq!(into.len(), frame);
    for (at, value) in into.iter_mut().enumerate() {
        *value = pixel(number * frame + at);
    }
}

/// The latents, and a check that progress is told of to the end.
fn encoded(encoder: &VaeEncoder<'_>, video: [usize; 3]) -> Result<Vec<f32>, Error> {
    let mut told = Vec::new();
    let latents = encoder.encode(
        &Cancel::new(),
        &mut |number, into| {
            read_frame(video, number, into);
            Ok(())
        },
        |done, of| {
            told.push((done, of));
            Ok(())
        },
    )?;
    let expected: Vec<_> = (1..=told.len()).map(|done| (done, told.len())).collect();
    assert_eq!(told, expected);
    assert_eq!(latents.len(), encoder.latents().iter().product::<usize>());
    Ok(latents)
}

/// A video's first frames give its first latents.
fn latents(gpu: &Gpu, name: &str, frames: usize, [h, w]: [usize; 2]) -> Result<(), Failed> {
    let model = Model::open(name)?;
    let found = model.encode(gpu, [frames, h, w], &EncodeOptions::default())?;
    let view = model.expected.get_any("latents")?;
    let (all, area) = (view.shape[2], view.shape[3] * view.shape[4]);
    let count = 1 + (frames - 1) / model.config.scale_factor_temporal;
    let expected = view.to_f32();
    let expected = expected
        .chunks_exact(all * area)
        .flat_map(|channel| &channel[..count * area]);
    let (mut apart, mut norm, mut seen) = (0.0, 0.0, 0);
    for (&found, &expected) in found.iter().zip(expected) {
        apart += f64::from(found - expected).powi(2);
        norm += f64::from(expected).powi(2);
        seen += 1;
    }
    let distance = (apart / norm).sqrt();
    println!("  {distance:.1e}");
    if seen != found.len() || !distance.is_finite() || distance > BOUND {
        return Err(format!("{distance:e} from the reference's, {seen} values").into());
    }
    Ok(())
}

/// The layers of the first three passes.
fn layers(gpu: &Gpu, name: &str) -> Result<(), Failed> {
    let model = Model::open(name)?;
    let config = &model.config;
    let size = FIXTURES.iter().find(|(known, _)| *known == name);
    let [h, w] = size.map(|(_, size)| *size).ok_or("an unknown fixture")?;
    let p = config.patch_size;
    let step = config.scale_factor_temporal;
    let mut run = Run::new(gpu).checkpoint(Model::open(name)?.checkpoint);
    let mut inputs = Vec::new();
    for pass in 0..3 {
        let frames = if pass == 0 {
            0..1
        } else {
            1 + (pass - 1) * step..1 + pass * step
        };
        let mut patches = Vec::new();
        for frame in frames.clone() {
            for (i, j) in (0..h / p).flat_map(|i| (0..w / p).map(move |j| (i, j))) {
                for channel in 0..3 * p * p {
                    let (colour, column, line) = (channel / (p * p), channel / p % p, channel % p);
                    let place = (frame * h + i * p + line) * w + j * p + column;
                    patches.push(pixel(place * 3 + colour));
                }
            }
        }
        inputs.push((format!("pixels {pass}"), frames.len(), patches));
    }
    for (input, _, patches) in &inputs {
        run = run.input(input, Input::F32(patches));
    }
    let (mut names, mut shapes) = (Vec::new(), Vec::new());
    let found = run.record(|rec, source| {
        let mut wanted = Vec::new();
        for (pass, (input, frames, _)) in inputs.iter().enumerate() {
            let pixels = rec.input(input, [*frames, h / p, w / p, 3 * p * p], DType::F32)?;
            let mut network = EncoderNetwork::new(source, config, pass == 0);
            let split = network.fine(rec, &pixels)?;
            network.coarse(rec, &split)?;
            for (layer, x) in network
                .layers()
                .iter()
                .filter(|(layer, _)| layer != "quant_conv")
            {
                names.push(format!("pass{pass}.{layer}"));
                shapes.push(x.shape);
                wanted.push(*x);
            }
        }
        Ok(wanted)
    })?;
    if names.len() != 3 * (config.dim_mult.len() + 2) {
        return Err(format!("{names:?}").into());
    }
    for ((name, found), shape) in names.iter().zip(&found).zip(shapes) {
        super::same_corner(&model.expected, name, found, shape)?;
    }
    Ok(())
}

/// Chunks of any number of latent frames give the same bits: 4, 8, 12, 16 and all frames at a time.
fn chunks(gpu: &Gpu, name: &str) -> Result<(), Failed> {
    let model = Model::open(name)?;
    let [h, w] = model.sides([3, 2]);
    for frames in [1, 9, 17, 21] {
        let mut first = None;
        for chunk in [1, 2, 3, 4, 100] {
            let options = EncodeOptions {
                chunk: Some(chunk),
                ..EncodeOptions::default()
            };
            let found = model.encode(gpu, [frames, h, w], &options)?;
            if *first.get_or_insert_with(|| found.clone()) != found {
                return Err(format!("chunks of {chunk} change the latents of {frames}").into());
            }
        }
    }
    Ok(())
}

fn bands(gpu: &Gpu, name: &str) -> Result<(), Failed> {
    let model = Model::open(name)?;
    let height = 2 * encoder_halo(&model.config) + 5;
    let [h, w] = model.sides([height, 1]);
    let options = EncodeOptions {
        bands: Bands::Off,
        ..EncodeOptions::default()
    };
    let video = [9, h, w];
    let whole = model.encode(gpu, video, &options)?;
    for (lines, chunk) in [(1, 1), (2, 2), (4, 1), (100, 2)] {
        let options = EncodeOptions {
            bands: Bands::Lines(lines),
            chunk: Some(chunk),
            ..options
        };
        let encoder = model.encoder(gpu, video, &options)?;
        let expected = (lines < 5).then_some(lines);
        if encoder.layout().band != expected {
            return Err(format!("{:?}, expected {expected:?}", encoder.layout()).into());
        }
        if encoded(&encoder, video)? != whole {
            return Err(format!("bands of {lines} lines change the latents").into());
        }
    }
    Ok(())
}

/// Memory is what the layout says, whatever the number of frames, whole and in bands.
fn memory(gpu: &Gpu, name: &str) -> Result<(), Failed> {
    let model = Model::open(name)?;
    let [h, w] = model.sides([2, 2]);
    let options = EncodeOptions {
        chunk: Some(2),
        ..EncodeOptions::default()
    };
    let mut peaks = Vec::new();
    for frames in [17, 49] {
        let before = gpu.memory().current;
        gpu.reset_peak();
        let encoder = model.encoder(gpu, [frames, h, w], &options)?;
        let said = encoder.layout().memory.total();
        let made = gpu.memory().current - before;
        if made != said {
            return Err(format!("{made} bytes, said to be {said}").into());
        }
        encoded(&encoder, [frames, h, w])?;
        let (peak, said) = (gpu.memory().peak - before, encoder.layout().peak_bytes());
        if peak != said {
            return Err(format!("a peak of {peak} bytes, said to be {said}").into());
        }
        peaks.push(peak);
    }
    if peaks[0] != peaks[1] {
        return Err(format!("bytes grow with the frames: {peaks:?}").into());
    }
    let [h, w] = model.sides([30, 1]);
    let limit = encode_layout(
        gpu.caps(),
        &model.config,
        &model.checkpoint,
        [9, h, w],
        &options,
    )?;
    let options = EncodeOptions {
        max_bytes: Some(limit.peak_bytes() * 4 / 5),
        ..options
    };
    let before = gpu.memory().current;
    gpu.reset_peak();
    let encoder = model.encoder(gpu, [9, h, w], &options)?;
    for _ in 0..2 {
        encoded(&encoder, [9, h, w])?;
    }
    let (peak, left) = (gpu.memory().peak - before, gpu.memory().current - before);
    let layout = encoder.layout();
    if layout.band.is_none() || (peak, left) != (layout.peak_bytes(), 0) {
        return Err(format!("a peak of {peak} bytes, {left} left; {layout:?}").into());
    }
    Ok(())
}

/// An encode that was stopped leaves nothing behind for the next.
fn cancel(gpu: &Gpu, name: &str) -> Result<(), Failed> {
    let model = Model::open(name)?;
    let [h, w] = model.sides([2, 1]);
    let video = [13, h, w];
    let options = EncodeOptions {
        chunk: Some(1),
        ..EncodeOptions::default()
    };
    let encoder = model.encoder(gpu, video, &options)?;
    let undisturbed = encoded(&encoder, video)?;
    let (cancel, mut passes) = (Cancel::new(), 0);
    let stopped = encoder.encode(
        &cancel,
        &mut |number, into| {
            read_frame(video, number, into);
            Ok(())
        },
        |done, _| {
            passes = done;
            if done == 2 {
                cancel.cancel();
            }
            Ok(())
        },
    );
    if !matches!(stopped, Err(Error::Cancelled)) || passes != 2 {
        return Err(format!("{stopped:?} after {passes} passes").into());
    }
    match encoded(&encoder, video)? == undisturbed {
        true => Ok(()),
        false => Err("a cancelled encode changes the next".into()),
    }
}

/// A picture's first latent is that of a video which starts with it, and a stranger among the
/// weights is refused.
fn shared(gpu: &Gpu, name: &str) -> Result<(), Failed> {
    let model = Model::open(name)?;
    let [h, w] = model.sides([2, 3]);
    let one = model.encode(gpu, [1, h, w], &EncodeOptions::default())?;
    let many = model.encode(gpu, [9, h, w], &EncodeOptions::default())?;
    let area = 6;
    let firsts: Vec<f32> = many
        .chunks_exact(3 * area)
        .flat_map(|channel| channel[..area].to_vec())
        .collect();
    match one == firsts {
        true => Ok(()),
        false => Err("the first latents differ".into()),
    }
}

fn refusals() -> Result<(), Failed> {
    let model = Model::open("encoder21")?;
    let sentence = |config: &VaeConfig, video, options: &EncodeOptions| {
        let found = encode_layout(&Caps::least(), config, &model.checkpoint, video, options);
        found.map_or_else(|error| error.to_string(), |layout| format!("{layout:?}"))
    };
    let options = EncodeOptions::default();
    let tight = EncodeOptions {
        max_bytes: Some(1 << 18),
        ..options
    };
    for (video, options, expected) in [
        (
            [6, 16, 16],
            &options,
            "encoder: 6 frames, expected one and then a multiple of 4, such as 5;",
        ),
        (
            [5, 20, 16],
            &options,
            "encoder: 16x20 pixels, expected multiples of 8",
        ),
        ([0, 16, 16], &options, "encoder: the number of frames is 0"),
        ([5, 0, 16], &options, "encoder: the latent height is 0"),
        ([5, 320, 160], &tight, "encoder: 160x320 pixels need "),
    ] {
        let found = sentence(&model.config, video, options);
        if !found.starts_with(expected) {
            return Err(found.into());
        }
    }
    let none = EncodeOptions {
        chunk: Some(0),
        ..options
    };
    let found = encode_layout(
        &Caps::least(),
        &model.config,
        &model.checkpoint,
        [5, 16, 16],
        &none,
    );
    if !matches!(found, Err(Error::Vae(VaeError::Zero { .. }))) {
        return Err(format!("{found:?}").into());
    }
    // A patch that the weights do not have.
    let patched = VaeConfig {
        patch_size: 2,
        scale_factor_spatial: 16,
        ..model.config.clone()
    };
    let found = sentence(&patched, [5, 16, 16], &options);
    if !found.contains("encoder.conv_in.weight") || !found.contains("12") {
        return Err(found.into());
    }
    Ok(())
}
