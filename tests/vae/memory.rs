//! What a decoder takes on the device: what its layout says, whatever the number of frames.

use kinora::gpu::Gpu;
use kinora::models::vae::{Bands, DecodeOptions};
use libtest_mimic::{Failed, Trial};

use super::harness::device_test;
use super::{Model, all_frames};

pub fn trials() -> Vec<Trial> {
    vec![
        device_test("memory/wan21", |gpu| memory(gpu, "wan21")),
        device_test("memory/ti2v", |gpu| memory(gpu, "ti2v")),
        device_test("memory/bands/wan21", |gpu| memory_of_bands(gpu, "wan21")),
        device_test("memory/bands/ti2v", |gpu| memory_of_bands(gpu, "ti2v")),
        device_test("memory/a limit brings bands", limit),
    ]
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
