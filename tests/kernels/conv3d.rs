//! Convolutions at awkward sizes: edges, history, upsampling, frames out of channels, windows.

use kinora::gpu::Gpu;
use kinora::ops::conv3d::{Conv, conv3d};
use kinora::ops::matmul::Epilogue;
use kinora::record::{Caps, Command, DeviceClass, Pack, Recorder, Tensor};
use kinora::tensor::DType;
use libtest_mimic::{Failed, Trial};

use crate::harness::compare::{SUMS, close};
use crate::harness::data::{rounded, values};
use crate::harness::guise::{Guise, guise_test};
use crate::harness::{Input, Run};
use crate::reference::conv3d as twin;

/// T, H, W, C, N and the kernel: widths around the tiles of 8 and 16 pixels, channels that are and
/// are no multiple of 4, outputs around a workgroup of 8, 32 or 64, pictures smaller than the kernel.
const SIZES: [([usize; 5], [usize; 3]); 16] = [
    ([1, 1, 1, 12, 1], [1, 1, 1]),
    ([1, 1, 1, 4, 3], [3, 3, 3]),
    ([1, 5, 7, 8, 9], [1, 3, 3]),
    ([2, 3, 8, 4, 7], [3, 3, 3]),
    ([3, 2, 9, 12, 8], [3, 3, 3]),
    ([5, 3, 17, 16, 65], [3, 1, 1]),
    ([1, 4, 13, 4, 64], [1, 1, 1]),
    ([2, 3, 5, 6, 12], [3, 3, 3]),
    ([1, 3, 4, 3, 5], [3, 3, 3]),
    ([2, 2, 3, 5, 5], [1, 1, 1]),
    ([1, 3, 11, 7, 3], [1, 3, 3]),
    ([1, 3, 6, 4, 2], [5, 1, 3]),
    ([3, 9, 17, 8, 68], [3, 3, 3]),
    ([2, 11, 13, 20, 8], [3, 3, 1]),
    ([2, 3, 16, 8, 31], [3, 3, 3]),
    ([1, 2, 33, 4, 33], [1, 3, 3]),
];

#[derive(Clone, Copy)]
struct Case {
    conv: twin::Conv,
    input: DType,
    dtype: DType,
    upsample: bool,
    folds: usize,
    epilogue: &'static str,
}

/// T, H, W, C, N, the kernel and the strides in time and in space.
const STRIDES: [([usize; 5], [usize; 3], [usize; 2]); 9] = [
    ([1, 2, 2, 4, 3], [1, 3, 3], [1, 2]),
    ([3, 6, 10, 8, 9], [1, 3, 3], [1, 2]),
    ([2, 4, 34, 3, 20], [1, 3, 3], [1, 2]),
    ([1, 10, 40, 20, 36], [1, 3, 3], [1, 2]),
    ([2, 3, 5, 8, 8], [3, 1, 1], [2, 1]),
    ([4, 2, 17, 6, 12], [3, 1, 1], [2, 1]),
    ([8, 5, 9, 12, 65], [3, 1, 1], [2, 1]),
    ([4, 4, 6, 8, 12], [3, 3, 3], [2, 2]),
    ([2, 2, 4, 4, 4], [2, 1, 1], [2, 1]),
];

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for guise in Guise::ALL {
        for (name, case) in cases() {
            // Only the way of operands into matrices differs there: one format shows it.
            if guise == Guise::Apple && case.dtype != DType::BF16 {
                continue;
            }
            let test = move |gpu, caps: &_| case.run(gpu, caps);
            trials.push(guise_test(guise, &name, test));
        }
        for features in [6, 8] {
            for strides in [[1, 1], [1, 2], [2, 1]] {
                let [st, s] = strides;
                let name = format!("conv3d/windows/{features}/strides={st}x{s}");
                let test = move |gpu, caps: &_| windows(gpu, caps, features, strides);
                trials.push(guise_test(guise, &name, test));
            }
        }
    }
    for guise in [Guise::Coop, Guise::Apple] {
        for (name, case) in halves() {
            let test = move |gpu, caps: &_| case.run(gpu, caps);
            trials.push(guise_test(guise, &name, test));
        }
    }
    trials.push(Trial::test(
        "conv3d/every window is within the limits",
        limits,
    ));
    trials
}

/// Pixels in f16, as attention leaves them: few, which a tile takes as well, and many.
fn halves() -> Vec<(String, Case)> {
    let sizes = [
        ([1, 1, 1, 8, 3], [1, 1, 1]),
        ([1, 2, 3, 4, 9], [1, 1, 1]),
        ([2, 5, 7, 12, 20], [1, 1, 1]),
    ];
    let case = |([frames, height, width, channels, features], kernel): ([usize; 5], [usize; 3])| {
        let conv = twin::Conv {
            frames,
            height,
            width,
            channels,
            features,
            kernel,
            strides: [1, 1],
        };
        let case = Case {
            conv,
            input: DType::F16,
            dtype: DType::F32,
            upsample: false,
            folds: 1,
            epilogue: "bias",
        };
        let name = format!("conv3d/halves/{frames}x{height}x{width}x{channels}->{features}");
        (name, case)
    };
    sizes.into_iter().map(case).collect()
}

fn cases() -> Vec<(String, Case)> {
    let mut cases = Vec::new();
    for ([frames, height, width, channels, features], kernel) in SIZES {
        let conv = twin::Conv {
            frames,
            height,
            width,
            channels,
            features,
            kernel,
            strides: [1, 1],
        };
        for dtype in [DType::F32, DType::F16, DType::BF16] {
            let [kt, kh, kw] = kernel;
            let name = format!(
                "conv3d/{dtype}/{frames}x{height}x{width}x{channels}->{features}/{kt}x{kh}x{kw}"
            );
            let case = Case {
                conv,
                input: DType::F32,
                dtype,
                upsample: false,
                folds: 1,
                epilogue: "none",
            };
            cases.push((name, case));
        }
    }
    for ([frames, height, width, channels, features], kernel, strides) in STRIDES {
        let conv = twin::Conv {
            frames,
            height,
            width,
            channels,
            features,
            kernel,
            strides,
        };
        for (dtype, epilogue) in [(DType::F32, "bias"), (DType::BF16, "bias_residual")] {
            let [st, s] = strides;
            let name = format!(
                "conv3d/strides={st}x{s}/{dtype}/{frames}x{height}x{width}x{channels}->{features}"
            );
            let case = Case {
                conv,
                input: DType::F32,
                dtype,
                upsample: false,
                folds: 1,
                epilogue,
            };
            cases.push((name, case));
        }
    }
    for channels in [8, 6] {
        for (upsample, folds, kernel) in [
            (true, 1, [1, 3, 3]),
            (false, 2, [3, 1, 1]),
            (true, 3, [3, 3, 3]),
        ] {
            for epilogue in [
                "none",
                "bias",
                "bias_residual",
                "relu",
                "bias_relu",
                "bias_residual_relu",
            ] {
                let conv = twin::Conv {
                    frames: 2,
                    height: 5,
                    width: 9,
                    channels,
                    features: 24,
                    kernel,
                    strides: [1, 1],
                };
                let name = format!("conv3d/C={channels}/up={upsample}/folds={folds}/{epilogue}");
                let case = Case {
                    conv,
                    input: DType::F32,
                    dtype: DType::F32,
                    upsample,
                    folds,
                    epilogue,
                };
                cases.push((name, case));
            }
        }
    }
    cases
}

impl Case {
    fn run(self, gpu: &Gpu, caps: &Caps) -> Result<(), Failed> {
        let twin::Conv {
            frames: t,
            height: h,
            width,
            channels: c,
            features: n,
            kernel: [kt, kh, kw],
            strides: [st, s],
        } = self.conv;
        let x = rounded(&values(1, t * h * width * c), self.input);
        let past = rounded(&values(2, (kt - st) * h * width * c), self.input);
        let w = rounded(&values(3, n * c * kt * kh * kw), self.dtype);
        let bias = values(4, n);
        let mut kernel = "";
        let zoom = if self.upsample { 2 } else { 1 };
        let (t_out, h_out, width_out) = (t / st, zoom * h / s, zoom * width / s);
        let pixels = h_out * width_out;
        let residual = values(5, t_out * pixels * n);
        let found = Run::new(gpu)
            .weights(&[
                ("w", &[n, c, kt, kh, kw], self.dtype, &w),
                ("bias", &[n], DType::F32, &bias),
            ])
            .input("x", Input::of(&x, self.input))
            .input("past", Input::of(&past, self.input))
            .input("residual", Input::F32(&residual))
            .record_for(caps, |rec, source| {
                let x = rec.input("x", [t, h, width, c], self.input)?;
                let w = source.weight(rec, "w", [n, c, kt, kh, kw], Pack::Conv)?;
                let bias = source.vector(rec, "bias", [n])?;
                let residual = rec.input("residual", [t_out, h_out, width_out, n], DType::F32)?;
                let past = match kt - st {
                    0 => None,
                    frames => Some(rec.state("past", [frames, h, width, c], self.input)?),
                };
                let epilogue = match self.epilogue {
                    "bias" => Epilogue::Bias(&bias),
                    "bias_residual" => Epilogue::BiasResidual(&bias, &residual),
                    "relu" => Epilogue::Relu,
                    "bias_relu" => Epilogue::BiasRelu(&bias),
                    "bias_residual_relu" => Epilogue::BiasResidualRelu(&bias, &residual),
                    _ => Epilogue::None,
                };
                let conv = Conv {
                    weight: &w,
                    past: past.as_ref(),
                    upsample: self.upsample,
                    folds: self.folds,
                    strides: [st, s],
                };
                let y = conv3d(rec, &x, &conv, epilogue)?;
                kernel = rec.last_kernel();
                Ok(vec![y])
            })?;
        let mut conv = self.conv;
        // Both sides see the operands as the kernel does.
        let seen = |values: Vec<f32>| match kernel {
            "matmul_coop" => rounded(&values, DType::F16),
            _ => values,
        };
        let (mut x, mut past, w) = (seen(x), seen(past), seen(w));
        if self.upsample {
            x = twin::upsample(&x, t, h, width, c);
            past = twin::upsample(&past, kt - 1, h, width, c);
            (conv.height, conv.width) = (2 * h, 2 * width);
        }
        let mut expected = twin::conv3d(&x, &past, &w, conv);
        for (at, value) in expected.iter_mut().enumerate() {
            let biased = *value + f64::from(bias[at % n]);
            *value = match self.epilogue {
                "bias" => biased,
                "bias_residual" => f64::from(residual[at]) + biased,
                "relu" => value.max(0.0),
                "bias_relu" => biased.max(0.0),
                "bias_residual_relu" => (f64::from(residual[at]) + biased).max(0.0),
                _ => *value,
            };
        }
        let expected = twin::fold(&expected, t_out, pixels, self.folds, n / self.folds);
        close(kernel, &found[0], &expected, SUMS)
    }
}

/// The recording of one convolution with history for a device of small bindings.
fn windowed(
    rec: &mut Recorder<'_>,
    past: bool,
    n: usize,
    [st, s]: [usize; 2],
) -> Result<Tensor, kinora::Error> {
    let (t, h, width, c) = (5 * st, 6, 20, 8);
    let x = rec.input("x", [t, h, width, c], DType::F32)?;
    let w = rec.weight(
        "w",
        [n, c, if past { 3 } else { 1 }, 3, 3],
        DType::F32,
        Pack::Conv,
    )?;
    let bias = rec.weight("bias", [n], DType::F32, Pack::Vector)?;
    let residual = rec.input("residual", [t / st, h / s, width / s, n], DType::F32)?;
    let history = rec.state("past", [3 - st, h, width, c], DType::F32)?;
    let conv = Conv {
        past: past.then_some(&history),
        strides: [st, s],
        ..Conv::new(&w)
    };
    Ok(conv3d(
        rec,
        &x,
        &conv,
        Epilogue::BiasResidual(&bias, &residual),
    )?)
}

/// Windows and whole tensors give the same bits.
fn windows(gpu: &Gpu, found: &Caps, n: usize, strides: [usize; 2]) -> Result<(), Failed> {
    let [st, s] = strides;
    let (t, h, width, c) = (5 * st, 6, 20, 8);
    let x = values(1, t * h * width * c);
    let past = values(2, (3 - st) * h * width * c);
    let w = values(3, n * c * 27);
    let bias = values(4, n);
    let residual = values(5, t / st * (h / s) * (width / s) * n);
    let run = || {
        Run::new(gpu)
            .weights(&[
                ("w", &[n, c, 3, 3, 3], DType::F32, &w),
                ("bias", &[n], DType::F32, &bias),
            ])
            .input("x", Input::F32(&x))
            .input("past", Input::F32(&past))
            .input("residual", Input::F32(&residual))
    };
    let whole = run().record_for(found, |rec, _| Ok(vec![windowed(rec, true, n, strides)?]))?;
    // Three frames of x are 11,520 bytes.
    let caps = Caps {
        // Less than x. With tiles a dispatch starts where 6 features are aligned, which may be 32
        // pixels apart and then sees four of the five frames.
        max_binding_bytes: if st == 1 { 16_000 } else { 20_000 },
        ..found.clone()
    };
    let parts = run().record_for(&caps, |rec, _| Ok(vec![windowed(rec, true, n, strides)?]))?;
    if whole != parts {
        return Err("windows change the result".into());
    }
    Ok(())
}

/// Every byte of the output is written once, by dispatches within a device's limits.
fn limits() -> Result<(), Failed> {
    // Without tiles, and with them: those start where rows of the result are aligned, so that of 6
    // features a dispatch is at least 32 rows.
    let (plain, tiled) = (DeviceClass::Software, DeviceClass::Other);
    for (class, past, bytes, features) in [
        (plain, true, 12_000, 6),
        (plain, false, 3_000, 6),
        (plain, false, 5_000, 8),
        (tiled, true, 16_000, 6),
        (tiled, true, 12_000, 8),
        (tiled, false, 5_000, 8),
    ] {
        let caps = Caps {
            class,
            max_binding_bytes: bytes,
            ..Caps::least()
        };
        let mut rec = Recorder::new(&caps);
        let y = windowed(&mut rec, past, features, [1, 1])?;
        let recording = rec.finish();
        let dispatches = recording.commands.len();
        if dispatches < 2 {
            return Err(format!("{dispatches} dispatches with {bytes} bytes a binding").into());
        }
        let mut written = 0;
        for command in &recording.commands {
            let Command::Dispatch(dispatch) = command else {
                continue;
            };
            let mut windows = dispatch.bindings.iter().filter(|b| b.tensor == y.id);
            let window = windows
                .next()
                .and_then(|b| b.window.clone())
                .ok_or("y is not bound")?;
            if window.start > written {
                return Err(format!("bytes {written}..{} are never written", window.start).into());
            }
            written = window.end;
        }
        if written != y.bytes() {
            return Err(format!("{written} of {} bytes are written", y.bytes()).into());
        }
    }
    Ok(())
}
