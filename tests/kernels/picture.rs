//! Pictures for hosts and encoders: every byte against a twin, at odd sizes and starts.

use kinora::gpu::Gpu;
use kinora::ops::picture::{Part, Planes, rgba8, yuv420};
use kinora::tensor::DType;
use libtest_mimic::{Failed, Trial};

use crate::harness::{Input, Run, device_test};
use crate::reference::picture as twin;

/// Width and height as made, of the part, and the byte at which the picture begins.
const PARTS: [([usize; 2], [usize; 2], u64); 8] = [
    ([1, 1], [1, 1], 0),
    ([2, 1], [2, 1], 4),
    ([5, 3], [5, 3], 0),
    ([8, 6], [5, 3], 8),
    ([16, 9], [16, 9], 400),
    ([17, 10], [3, 10], 0),
    ([33, 7], [32, 6], 12),
    ([64, 40], [63, 37], 1024),
];

pub fn trials() -> Vec<Trial> {
    let trial = |part: ([usize; 2], [usize; 2], u64)| {
        let name = |what: &str| format!("{what}/{:?} of {:?} at {}", part.1, part.0, part.2);
        [
            device_test(name("rgba8"), move |gpu| pixels(gpu, part)),
            device_test(name("yuv420"), move |gpu| planes(gpu, part)),
        ]
    };
    PARTS.into_iter().flat_map(trial).collect()
}

/// A picture's bytes behind others, as words.
fn words([w, h]: [usize; 2], start: u64) -> (Vec<u8>, Vec<u32>) {
    let bytes: Vec<u8> = (0..start as usize + 3 * w * h)
        .map(|at| (at * 97 + at / 7 * 31 + 13) as u8)
        .collect();
    let mut padded = bytes.clone();
    padded.resize(bytes.len().next_multiple_of(4), 0);
    let words = padded.as_chunks().0.iter();
    (
        bytes[start as usize..].to_vec(),
        words.map(|&word| u32::from_le_bytes(word)).collect(),
    )
}

fn equal(found: &[f32], expected: &[u8]) -> Result<(), Failed> {
    let found: Vec<u8> = found.iter().flat_map(|word| word.to_le_bytes()).collect();
    match found.iter().zip(expected).position(|(a, b)| a != b) {
        None if found.len() == expected.len() => Ok(()),
        None => Err(format!("{} bytes, expected {}", found.len(), expected.len()).into()),
        Some(at) => Err(format!("byte {at} is {}, expected {}", found[at], expected[at]).into()),
    }
}

fn pixels(gpu: &Gpu, (made, size, start): ([usize; 2], [usize; 2], u64)) -> Result<(), Failed> {
    let (rgb, words) = words(made, start);
    let part = Part { start, made, size };
    let found = Run::new(gpu)
        .input("x", Input::U32(&words))
        .record(|rec, _| {
            let x = rec.input("x", [words.len()], DType::U32)?;
            let y = rec.intermediate("y", [size[1], size[0]], DType::U32);
            rgba8(rec, &x, part, &y)?;
            Ok(vec![y])
        })?;
    equal(&found[0], &twin::rgba8(&rgb, made, size))
}

fn planes(gpu: &Gpu, (made, size, start): ([usize; 2], [usize; 2], u64)) -> Result<(), Failed> {
    let (rgb, words) = words(made, start);
    let part = Part { start, made, size };
    let planes = Planes::of(size);
    let [luma, cb, end] = planes.ends();
    let found = Run::new(gpu)
        .input("x", Input::U32(&words))
        .record(|rec, _| {
            let x = rec.input("x", [words.len()], DType::U32)?;
            let y = rec.intermediate("y", [end / 4], DType::U32);
            yuv420(rec, &x, part, &y)?;
            Ok(vec![y])
        })?;
    let found: Vec<u8> = found[0]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    let expected = twin::yuv420(&rgb, made, size);
    let rows = |from: usize, to: usize, stride: usize, width: usize| -> Vec<u8> {
        let rows = found[from..to].chunks_exact(stride);
        rows.flat_map(|row| row[..width].to_vec()).collect()
    };
    let width = size[0].next_multiple_of(2);
    let own = [
        rows(0, luma, planes.luma_stride, width),
        rows(luma, cb, planes.chroma_stride, width / 2),
        rows(cb, end, planes.chroma_stride, width / 2),
    ];
    for ((name, own), expected) in ["Y", "Cb", "Cr"].into_iter().zip(own).zip(expected) {
        if own != expected {
            return Err(format!("{name} is {own:?}, expected {expected:?}").into());
        }
    }
    Ok(())
}
