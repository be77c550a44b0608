//! Norms over rows of one group of four up to many per invocation.

use kinora::gpu::Gpu;
use kinora::ops::norm::{Affine, layer_norm, rms_norm};
use kinora::record::Caps;
use kinora::tensor::DType;
use libtest_mimic::{Failed, Trial};

use crate::harness::compare::{SUMS, close};
use crate::harness::data::values;
use crate::harness::guise::{Guise, guise_test};
use crate::harness::{Input, Run};
use crate::reference::norm as twin;

const SIZES: [(usize, usize); 7] = [
    (1, 4),
    (2, 28),
    (3, 32),
    (5, 36),
    (7, 252),
    (13, 260),
    (31, 1544),
];

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    // What cooperative matrices take is f16: another test's concern.
    for guise in [Guise::Found, Guise::Staged, Guise::Bare] {
        for (rows, cols) in SIZES {
            let name = format!("layer_norm/{rows}x{cols}");
            trials.push(guise_test(guise, &name, move |gpu, caps| {
                layer(gpu, caps, rows, cols)
            }));
            let name = format!("layer_norm/modulation/{rows}x{cols}");
            trials.push(guise_test(guise, &name, move |gpu, caps| {
                modulated(gpu, caps, rows, cols)
            }));
            let name = format!("rms_norm/{rows}x{cols}");
            trials.push(guise_test(guise, &name, move |gpu, caps| {
                rms(gpu, caps, rows, cols)
            }));
        }
    }
    trials
}

/// Rows whose mean is far from zero, where a variance from the mean square would cancel.
fn offset(seed: u64, count: usize) -> Vec<f32> {
    values(seed, count).iter().map(|v| v + 30.0).collect()
}

fn layer(gpu: &Gpu, caps: &Caps, rows: usize, cols: usize) -> Result<(), Failed> {
    let (x, gain, shift) = (offset(1, rows * cols), values(2, cols), values(3, cols));
    let found = Run::new(gpu)
        .weights(&[
            ("gain", &[cols], DType::F32, &gain),
            ("shift", &[cols], DType::F32, &shift),
        ])
        .input("x", Input::F32(&x))
        .record_for(caps, |rec, source| {
            let x = rec.input("x", [rows, cols], DType::F32)?;
            let gain = source.vector(rec, "gain", [cols])?;
            let shift = source.vector(rec, "shift", [cols])?;
            let affine = Affine::Gain {
                gain: &gain,
                shift: &shift,
            };
            Ok(vec![layer_norm(rec, &x, 1e-6, affine)?])
        })?;
    let mut expected = twin::layer_norm(&x, cols, 1e-6);
    for (at, value) in expected.iter_mut().enumerate() {
        *value = *value * f64::from(gain[at % cols]) + f64::from(shift[at % cols]);
    }
    close("y", &found[0], &expected, SUMS)
}

fn modulated(gpu: &Gpu, caps: &Caps, rows: usize, cols: usize) -> Result<(), Failed> {
    let distinct = 3;
    let x = offset(4, rows * cols);
    let (scale, shift) = (values(5, distinct * cols), values(6, distinct * cols));
    let index: Vec<u32> = (0..rows as u32)
        .map(|i| (i * 7 + 1) % distinct as u32)
        .collect();
    let found = Run::new(gpu)
        .input("x", Input::F32(&x))
        .input("scale", Input::F32(&scale))
        .input("shift", Input::F32(&shift))
        .input("index", Input::U32(&index))
        .record_for(caps, |rec, _| {
            let x = rec.input("x", [rows, cols], DType::F32)?;
            let scale = rec.input("scale", [distinct, cols], DType::F32)?;
            let shift = rec.input("shift", [distinct, cols], DType::F32)?;
            let index = rec.input("index", [rows], DType::U32)?;
            let affine = Affine::Modulation {
                scale: &scale,
                shift: &shift,
                index: &index,
            };
            Ok(vec![layer_norm(rec, &x, 1e-3, affine)?])
        })?;
    let mut expected = twin::layer_norm(&x, cols, 1e-3);
    for (at, value) in expected.iter_mut().enumerate() {
        let from = index[at / cols] as usize * cols + at % cols;
        *value = *value * (1.0 + f64::from(scale[from])) + f64::from(shift[from]);
    }
    close("y", &found[0], &expected, SUMS)
}

fn rms(gpu: &Gpu, caps: &Caps, rows: usize, cols: usize) -> Result<(), Failed> {
    let (x, gain) = (values(7, rows * cols), values(8, cols));
    let found = Run::new(gpu)
        .weights(&[("gain", &[cols], DType::F32, &gain)])
        .input("x", Input::F32(&x))
        .record_for(caps, |rec, source| {
            let x = rec.input("x", [rows, cols], DType::F32)?;
            let gain = source.vector(rec, "gain", [cols])?;
            Ok(vec![rms_norm(rec, &x, &gain, 1e-2, None)?])
        })?;
    close("y", &found[0], &twin::rms_norm(&x, &gain, 1e-2), SUMS)
}
