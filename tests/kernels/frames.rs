//! Remembered frames and the shortcuts that repeat and average them.

use kinora::Error;
use kinora::gpu::Gpu;
use kinora::ops::frames::{avg_down, crop_lines, dup_up, push_frames};
use kinora::record::{Caps, Command, Recorder};
use kinora::tensor::DType;
use libtest_mimic::{Failed, Trial};

use crate::harness::compare::{ELEMENTWISE, close};
use crate::harness::data::values;
use crate::harness::{Input, Run, device_test};
use crate::reference::frames as twin;

/// [T, H, W, C], N, how many times the frames, and whether the video starts here.
const SHORTCUTS: [([usize; 4], usize, usize, bool); 7] = [
    ([1, 1, 1, 4], 4, 2, true),
    ([1, 3, 5, 8], 4, 2, true),
    ([2, 3, 5, 8], 4, 2, false),
    ([3, 2, 7, 6], 3, 1, false),
    ([2, 5, 3, 16], 8, 2, false),
    ([1, 2, 2, 4], 12, 1, true),
    ([3, 2, 3, 5], 5, 2, true),
];

/// [T, H, W, C], N, and how many times fewer frames and pixels along a side.
const MEANS: [([usize; 4], usize, [usize; 2]); 8] = [
    ([1, 2, 2, 4], 4, [2, 2]),
    ([1, 4, 6, 8], 16, [2, 2]),
    ([4, 4, 10, 8], 8, [2, 2]),
    ([3, 6, 4, 6], 3, [2, 2]),
    ([2, 4, 14, 5], 20, [1, 2]),
    ([3, 2, 3, 6], 6, [1, 1]),
    ([3, 2, 3, 12], 4, [1, 1]),
    ([5, 3, 3, 2], 1, [2, 1]),
];

/// Bytes of a binding: whole frames of the result (7,040 bytes each), some of them, a few lines.
const LIMITS: [u64; 4] = [30_000, 16_000, 8_000, 2_500];

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for remembered in [1, 2, 4] {
        for frames in 1..=5 {
            let name = format!("push_frames/{frames} into {remembered}");
            trials.push(device_test(name, move |gpu| push(gpu, remembered, frames)));
        }
    }
    for (shape, features, factor, start) in SHORTCUTS {
        let name = format!("dup_up/{shape:?}->{features}/time={factor}/start={start}");
        trials.push(device_test(name, move |gpu| {
            shortcut(gpu, gpu.caps(), (shape, features, factor, start)).map(|_| ())
        }));
    }
    for limit in LIMITS {
        let name = format!("dup_up/within {limit} bytes a binding");
        trials.push(device_test(name, move |gpu| {
            let caps = Caps {
                max_binding_bytes: limit,
                ..gpu.caps().clone()
            };
            let dispatches = shortcut(gpu, &caps, ([3, 5, 4, 22], 22, 2, true))?;
            match dispatches > 1 {
                true => Ok(()),
                false => Err("one dispatch binds it all".into()),
            }
        }));
    }
    for (shape, features, factors) in MEANS {
        let name = format!("avg_down/{shape:?}->{features}/factors={factors:?}");
        trials.push(device_test(name, move |gpu| {
            means(gpu, gpu.caps(), (shape, features, factors)).map(|_| ())
        }));
    }
    for limit in [14_000, 6_000] {
        let name = format!("avg_down/within {limit} bytes a binding");
        trials.push(device_test(name, move |gpu| {
            let caps = Caps {
                max_binding_bytes: limit,
                ..gpu.caps().clone()
            };
            // Two frames of x are 5,632 bytes.
            match means(gpu, &caps, ([7, 8, 4, 22], 44, [2, 2]))? > 1 {
                true => Ok(()),
                false => Err("one dispatch binds it all".into()),
            }
        }));
    }
    for (shape, start, lines) in [
        ([1, 1, 1, 1], 0, 1),
        ([3, 7, 5, 3], 2, 4),
        ([2, 9, 13, 8], 0, 8),
        ([2, 9, 13, 8], 8, 1),
    ] {
        let name = format!("crop_lines/{shape:?}/{lines} from {start}");
        trials.push(device_test(name, move |gpu| crop(gpu, shape, start, lines)));
    }
    trials
}

fn crop(gpu: &Gpu, shape: [usize; 4], start: usize, lines: usize) -> Result<(), Failed> {
    let x = values(1, shape.iter().product());
    let starts = [7, start as u32];
    let found = Run::new(gpu)
        .input("x", Input::F32(&x))
        .input("starts", Input::U32(&starts))
        .record(|rec, _| {
            let x = rec.input("x", shape, DType::F32)?;
            let starts = rec.input("starts", [2], DType::U32)?;
            Ok(vec![crop_lines(rec, &x, &starts, 1, lines)?])
        })?;
    match found[0] == twin::crop_lines(&x, shape, start, lines) {
        true => Ok(()),
        false => Err("other lines".into()),
    }
}

fn push(gpu: &Gpu, remembered: usize, frames: usize) -> Result<(), Failed> {
    let (h, w, c) = (3, 5, 3);
    let frame = h * w * c;
    let past = values(1, remembered * frame);
    let x = values(2, frames * frame);
    let found = Run::new(gpu)
        .input("past", Input::F32(&past))
        .input("x", Input::F32(&x))
        .record(|rec, _| {
            let past = rec.state("past", [remembered, h, w, c], DType::F32)?;
            let x = rec.input("x", [frames, h, w, c], DType::F32)?;
            push_frames(rec, &past, &x)?;
            Ok(vec![past])
        })?;
    match found[0] == twin::push_frames(&past, &x, remembered, frame) {
        true => Ok(()),
        false => Err("other frames than the last ones".into()),
    }
}

/// How many dispatches it took.
fn shortcut(
    gpu: &Gpu,
    caps: &Caps,
    (shape, n, factor, start): ([usize; 4], usize, usize, bool),
) -> Result<usize, Failed> {
    let [t, h, w, _] = shape;
    let drop = if start { factor - 1 } else { 0 };
    let out = [t * factor - drop, 2 * h, 2 * w, n];
    let x = values(1, shape.iter().product());
    let y = values(2, out.iter().product());
    let record = |rec: &mut Recorder<'_>| {
        let x = rec.input("x", shape, DType::F32)?;
        let y = rec.input("y", out, DType::F32)?;
        dup_up(rec, &x, &y, factor, start)?;
        Ok::<_, Error>(y)
    };
    let found = Run::new(gpu)
        .input("x", Input::F32(&x))
        .input("y", Input::F32(&y))
        .record_for(caps, |rec, _| Ok(vec![record(rec)?]))?;
    let mut expected = twin::dup_up(&x, shape, n, factor, drop);
    for (sum, &y) in expected.iter_mut().zip(&y) {
        *sum += f64::from(y);
    }
    close("y", &found[0], &expected, ELEMENTWISE)?;
    dispatches(caps, |rec| record(rec).map(|_| ()))
}

/// How many dispatches it took.
fn means(
    gpu: &Gpu,
    caps: &Caps,
    (shape, n, factors): ([usize; 4], usize, [usize; 2]),
) -> Result<usize, Failed> {
    let ([t, h, w, _], [ft, fs]) = (shape, factors);
    let out = [t.div_ceil(ft), h / fs, w / fs, n];
    let x = values(1, shape.iter().product());
    let y = values(2, out.iter().product());
    let record = |rec: &mut Recorder<'_>| {
        let x = rec.input("x", shape, DType::F32)?;
        let y = rec.input("y", out, DType::F32)?;
        avg_down(rec, &x, &y, factors)?;
        Ok::<_, Error>(y)
    };
    let found = Run::new(gpu)
        .input("x", Input::F32(&x))
        .input("y", Input::F32(&y))
        .record_for(caps, |rec, _| Ok(vec![record(rec)?]))?;
    let mut expected = twin::avg_down(&x, shape, n, factors);
    for (sum, &y) in expected.iter_mut().zip(&y) {
        *sum += f64::from(y);
    }
    close("y", &found[0], &expected, ELEMENTWISE)?;
    dispatches(caps, |rec| record(rec).map(|_| ()))
}

/// The dispatches of a recording, none of which binds more than the device allows.
fn dispatches(
    caps: &Caps,
    record: impl Fn(&mut Recorder<'_>) -> Result<(), Error>,
) -> Result<usize, Failed> {
    let mut rec = Recorder::new(caps);
    record(&mut rec)?;
    let recording = rec.finish();
    let commands = recording.commands.iter();
    let mut dispatches = 0;
    for command in commands {
        let Command::Dispatch(dispatch) = command else {
            continue;
        };
        dispatches += 1;
        for window in dispatch.bindings.iter().filter_map(|b| b.window.clone()) {
            if window.end - window.start > caps.max_binding_bytes {
                return Err(format!("{window:?} is more than a binding").into());
            }
        }
    }
    Ok(dispatches)
}
