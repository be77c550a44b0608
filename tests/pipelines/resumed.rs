//! A run that goes on from what another kept makes the same latents, bit for bit.

use std::path::Path;

use kinora::model_files::SchedulerName;
use kinora::weights::SolverState;
use kinora::{Cancel, Engine, Event, Request, Stage};
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
            resumed(&engine, &request)
        }),
        device_test(format!("resumed/{name}/fresh_noise"), move |gpu| {
            let (engine, request) = open(gpu, &noisy)?;
            let mut request = request;
            request.steps = None;
            request.scheduler = SchedulerName::named("dmd");
            request.timesteps = Some(vec![1000, 757, 522]);
            request.guidance = Some(1.0);
            request.guidance_2 = None;
            // Of three steps the last two, for a clip that is changed.
            request.strength = request.strength.map(|_| 0.7);
            resumed(&engine, &request)
        }),
    ]
}

pub(crate) fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn resumed(engine: &Engine, request: &Request) -> Result<(), Failed> {
    let never = Cancel::new();
    let job = engine.prepare(request)?;
    let again = || job.with_seed(job.settings().seed);
    let whole = again().sample(&mut |_| {}, &never)?;
    // Stopped between any two steps, by whoever keeps the state.
    let mut from: Option<SolverState> = None;
    let mut breaks = 0;
    let ended = loop {
        let cancel = Cancel::new();
        let mut kept = None;
        let mut encoded = false;
        let mut keep = |event| match event {
            Event::Checkpoint(state) => {
                cancel.cancel();
                kept = Some((*state).clone());
            }
            Event::Started {
                stage: Stage::Image | Stage::Encode,
                ..
            } => encoded = true,
            _ => {}
        };
        let mut job = again();
        if let Some(state) = &from {
            job.resume_from(state.clone());
        }
        let run = job.sample(&mut keep, &cancel);
        if encoded && from.is_some() {
            return Err("pictures were encoded again".into());
        }
        match (run, kept) {
            (Ok(latents), _) => break latents,
            (Err(_), Some(state)) => {
                // The first state of a run from pictures is kept before any step.
                let least = from.map_or(usize::from(!encoded), |state| state.steps_done + 1);
                if state.steps_done < least {
                    return Err(format!("{} steps, at least {least}", state.steps_done).into());
                }
                breaks += 1;
                from = Some(state);
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
    // A state of another run.
    if let Some(mut state) = from {
        state.shape[2] += 1;
        let mut job = again();
        job.resume_from(state);
        match job.sample(&mut |_| {}, &never) {
            Err(error) if error.to_string().contains("belongs to another run") => {}
            other => return Err(format!("another shape: {:?}", other.err()).into()),
        }
    }
    println!("  {breaks} breaks");
    Ok(())
}
