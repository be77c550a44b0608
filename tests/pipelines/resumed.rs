//! A run that goes on from what another kept makes the same latents, bit for bit.

use std::path::Path;

use kinora::gpu::Cancel;
use kinora::model_files::SchedulerName;
use kinora::text_to_video::{Engine, Request, Settings};
use kinora::weights::Sample;
use libtest_mimic::{Failed, Trial};

use crate::harness::device_test;
use crate::open;

/// Those of a fixture: its own sampling, and one that adds fresh noise at each step.
pub(crate) fn trials(path: &Path, name: &str) -> Vec<Trial> {
    let own = path.to_owned();
    let noisy = path.to_owned();
    vec![
        device_test(format!("resumed/{name}"), move |gpu| {
            let (engine, request) = open(gpu, &own)?;
            resumed(&engine, &engine.settings(&request)?)
        }),
        device_test(format!("resumed/{name}/fresh_noise"), move |gpu| {
            let (engine, request) = open(gpu, &noisy)?;
            let request = Request {
                steps: None,
                scheduler: SchedulerName::named("dmd"),
                timesteps: Some(vec![1000, 757, 522]),
                guidance: Some(1.0),
                guidance_2: None,
                ..request
            };
            resumed(&engine, &engine.settings(&request)?)
        }),
    ]
}

pub(crate) fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn resumed(engine: &Engine, settings: &Settings) -> Result<(), Failed> {
    let never = Cancel::new();
    let whole = engine.sample(settings, &never, &mut |_| {})?;
    // Stopped between any two steps, by whoever keeps the sample.
    let mut from: Option<Sample> = None;
    let mut breaks = 0;
    let ended = loop {
        let cancel = Cancel::new();
        let mut kept = None;
        let mut keep = |sample: &Sample| {
            cancel.cancel();
            kept = Some(sample.clone());
        };
        let run = engine.sample_from(settings, from.as_ref(), &cancel, &mut |_| {}, &mut keep);
        match (run, kept) {
            (Ok(latents), _) => break latents,
            (Err(_), Some(sample)) => {
                let before = from.map_or(0, |sample| sample.steps_done);
                if sample.steps_done <= before {
                    return Err(format!("{} steps after {before}", sample.steps_done).into());
                }
                breaks += 1;
                from = Some(sample);
            }
            (Err(error), None) => return Err(error.into()),
        }
    };
    if breaks < 2 {
        return Err(format!("{breaks} breaks are too few").into());
    }
    if bits(&ended.values) != bits(&whole.values) {
        return Err(format!("after {breaks} breaks the latents are others").into());
    }
    // A sample of another run.
    if let Some(mut sample) = from {
        sample.shape[2] += 1;
        let run = engine.sample_from(settings, Some(&sample), &never, &mut |_| {}, &mut |_| {});
        match run {
            Err(error) if error.to_string().contains("cannot go on") => {}
            other => return Err(format!("another shape: {:?}", other.err()).into()),
        }
    }
    println!("  {breaks} breaks");
    Ok(())
}
