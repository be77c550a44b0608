//! Latents to the decoder's space, and its values to bytes.

use kinora::gpu::Gpu;
use kinora::ops::latents::{Pixels, denormalise, rgb8};
use kinora::tensor::DType;
use libtest_mimic::{Failed, Trial};

use crate::harness::compare::{ELEMENTWISE, close};
use crate::harness::data::values;
use crate::harness::{Input, Run, device_test};
use crate::reference::latents as twin;

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for shape in [[1, 1, 1, 1], [5, 2, 3, 7], [16, 1, 8, 13], [48, 3, 2, 5]] {
        for soft_clamp in [false, true] {
            let name = format!("denormalise/{shape:?}/soft_clamp={soft_clamp}");
            trials.push(device_test(name, move |gpu| {
                statistics(gpu, shape, soft_clamp)
            }));
        }
    }
    for (shape, patch) in [
        ([1, 1, 1], 1),
        ([1, 3, 5], 1),
        ([2, 8, 8], 1),
        ([3, 5, 7], 2),
        ([1, 2, 3], 3),
    ] {
        for (by_lines, range) in [(false, [-1.0, 1.0]), (true, [0.0, 1.0])] {
            let name = format!("rgb8/{shape:?}/patch={patch}/by_lines={by_lines}");
            let pixels = Pixels {
                patch_size: patch,
                by_lines,
                range,
            };
            trials.push(device_test(name, move |gpu| bytes(gpu, shape, pixels)));
        }
    }
    trials
}

fn statistics(gpu: &Gpu, shape: [usize; 4], soft_clamp: bool) -> Result<(), Failed> {
    let channels = shape[0];
    let mut x = values(1, shape.iter().product());
    // Far beyond what tanh is given without a bound.
    x[0] = 4000.0;
    let (deviation, mean) = (values(2, channels), values(3, channels));
    let both = [deviation.as_slice(), &mean].concat();
    let found = Run::new(gpu)
        .input("x", Input::F32(&x))
        .input("s", Input::F32(&both))
        .record(|rec, _| {
            let x = rec.input("x", shape, DType::F32)?;
            let statistics = rec.input("s", [2, channels], DType::F32)?;
            Ok(vec![denormalise(rec, &x, &statistics, soft_clamp)?])
        })?;
    let mut expected = twin::denormalise(&x, &deviation, &mean);
    if soft_clamp {
        for value in &mut expected {
            *value = 3.0 * (*value / 3.0).tanh();
        }
    }
    close("y", &found[0], &expected, ELEMENTWISE)
}

fn bytes(gpu: &Gpu, [t, h, w]: [usize; 3], pixels: Pixels) -> Result<(), Failed> {
    let patch = pixels.patch_size;
    let channels = 3 * patch * patch;
    let mut x = values(1, t * h * w * channels);
    // A half between two bytes goes to the even one; beyond the range is clamped.
    for (value, special) in x.iter_mut().zip([-1.0, 1.0, 3.0, -7.5, 1.0 / 255.0, 0.0]) {
        *value = special;
    }
    let found = Run::new(gpu).input("x", Input::F32(&x)).record(|rec, _| {
        let x = rec.input("x", [t, h, w, channels], DType::F32)?;
        Ok(vec![rgb8(rec, &x, pixels, None)?])
    })?;
    let found: Vec<u8> = found[0]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    let expected = twin::rgb8(&x, [t, h, w], patch, pixels.by_lines, pixels.range);
    match found.iter().zip(&expected).position(|(a, b)| a != b) {
        None => Ok(()),
        Some(at) => Err(format!("byte {at} is {}, expected {}", found[at], expected[at]).into()),
    }
}
