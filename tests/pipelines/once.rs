//! What a run is made from is made once: for a job, and for all clips of a command that share one.

use std::collections::BTreeMap;
use std::path::Path;

use kinora::gpu::Gpu;
use kinora::job::Frame;
use kinora::pipeline::{Model, Prepared, Prompts};
use kinora::record::Caps;
use kinora::request::{Request, Settings};
use kinora::{Cancel, Counted, Decoder, ModelFolder, Part, take_counts};
use libtest_mimic::{Failed, Trial};

use crate::harness::device_test;
use crate::{open, own_fixtures};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        device_test("once/three_clips", |gpu| {
            three_clips(gpu, &own_fixtures().join("a14b"))
        }),
        Trial::test("once/plan", plan),
    ]
}

fn counted() -> BTreeMap<Counted, usize> {
    let mut counts = BTreeMap::new();
    for what in take_counts() {
        *counts.entry(what).or_default() += 1;
    }
    counts
}

const PARTS: [Part; 4] = [
    Part::TextEncoder,
    Part::Transformer,
    Part::Transformer2,
    Part::VaeDecoder,
];

/// As `generate --count 3`: three clips of one preparation.
fn three_clips(gpu: &Gpu, path: &Path) -> Result<(), Failed> {
    take_counts();
    let (engine, request) = open(gpu, path)?;
    let job = engine.prepare(&request)?;
    let mut frames = 0;
    for seed in 1..=3 {
        let mut job = job.with_seed(seed);
        let mut sink = |_: &Frame<'_>| {
            frames += 1;
            Ok(())
        };
        job.run(&mut sink, &mut |_| {}, &Cancel::new())?;
    }
    let mut expected = BTreeMap::from([
        // The prompt and the negative prompt.
        (Counted::Tokenised, 2),
        (Counted::Scheduled, 1),
        (Counted::Fingerprint, 1),
    ]);
    for part in PARTS {
        expected.extend([(Counted::Opened(part), 1), (Counted::Recorded(part), 1)]);
    }
    let found = counted();
    match found == expected && frames == 3 * job.settings().frames {
        true => Ok(()),
        false => Err(format!("{frames} frames, {found:?}, expected {expected:?}").into()),
    }
}

/// As `kinora plan`: no tokens, no hashes.
fn plan() -> Result<(), Failed> {
    take_counts();
    let model = Model::open(ModelFolder::like("wan2.2-a14b")?)?;
    let settings = Settings::resolve(&Request::new("any"), model.config())?;
    let (caps, decoder) = (Caps::least(), Decoder::Full);
    Prepared::new(&caps, &model, settings, &decoder, None, Prompts::Longest)?;
    let mut expected = BTreeMap::from([(Counted::Scheduled, 1)]);
    for part in PARTS {
        expected.extend([(Counted::Opened(part), 1), (Counted::Recorded(part), 1)]);
    }
    let found = counted();
    match found == expected {
        true => Ok(()),
        false => Err(format!("{found:?}, expected {expected:?}").into()),
    }
}
