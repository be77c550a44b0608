//! A device that is lost or has no room: the run goes on once more, and makes the same clip.

use std::path::Path;

use kinora::error::GpuError;
use kinora::gpu::{Gpu, wgpu};
use kinora::request::Note;
use kinora::weights::{Latents, SolverState};
use kinora::{Cancel, Engine, Error, Event, Job, ModelFolder, Part, Stage};
use libtest_mimic::{Failed, Trial};

use crate::harness::{device_test, gpu, options};
use crate::resumed::bits;
use crate::{decode, open};

/// Those of a fixture.
pub(crate) fn trials(path: &Path, name: &str) -> Vec<Trial> {
    // On Mesa's GL the process dies (SIGBUS) when devices are opened after others were destroyed.
    let survives = gpu().is_none_or(|gpu| gpu.caps().backend != "gl");
    let test = |what: &str, runs: bool, run: fn(&Gpu, &Path) -> Result<(), Failed>| {
        let (path, name) = (path.to_owned(), format!("{what}/{name}"));
        match runs {
            true => device_test(name, move |gpu| run(gpu, &path)),
            false => Trial::test(name, || Ok(())).with_ignored_flag(true),
        }
    };
    vec![
        test("lost_sampling", survives, sampling),
        test("lost_decoding", survives, decoding),
        test("lost_for_good", survives, for_good),
        test("no_room", true, no_room),
    ]
}

/// Whether the engine said that it tries once more, and why.
fn once_more(events: &[Event]) -> Vec<String> {
    let notes = events.iter().filter_map(|event| match event {
        Event::Note(Note::Retrying { reason, .. }) => Some(reason.clone()),
        _ => None,
    });
    notes.collect()
}

/// One reason, which names this.
fn told(events: &[Event], word: &str) -> Result<(), Failed> {
    match once_more(events).as_slice() {
        [reason] if reason.contains(word) => Ok(()),
        other => Err(format!("expected one note with {word:?}, found {other:?}").into()),
    }
}

fn sampling(gpu: &Gpu, path: &Path) -> Result<(), Failed> {
    let (engine, request) = open(gpu, path)?;
    let never = Cancel::new();
    let whole = engine.prepare(&request)?.sample(&mut |_| {}, &never)?;
    // In the middle of a step, when the prompt is read, and when weights come.
    let moments: [fn(&Event) -> bool; 3] = [
        |e| {
            matches!(
                e,
                Event::Progress {
                    stage: Stage::Sample,
                    done: 3,
                    ..
                }
            )
        },
        |e| {
            matches!(
                e,
                Event::Progress {
                    stage: Stage::Text,
                    done: 1,
                    ..
                }
            )
        },
        |e| {
            matches!(
                e,
                Event::Started {
                    stage: Stage::Load(_),
                    ..
                }
            )
        },
    ];
    for (number, moment) in moments.iter().enumerate() {
        let own = Gpu::open(&options())?;
        let (engine, _) = open(&own, path)?;
        let mut events = Vec::new();
        let mut pulled = false;
        let mut observer = |event| {
            if moment(&event) && !pulled {
                pulled = true;
                own.pull_away();
            }
            events.push(event);
        };
        let mut job = engine.prepare(&request)?;
        let made = job.sample(&mut observer, &never)?;
        told(&events, "the device was lost").map_err(|e| at(number, e))?;
        taken(&job, &own)?;
        if !pulled || bits(&made.values) != bits(&whole.values) {
            return Err(format!("moment {number}: other latents (pulled: {pulled})").into());
        }
        let resumed = events.iter().any(|e| matches!(e, Event::Resumed { .. }));
        if resumed != (number == 0) {
            return Err(format!("moment {number}: went on from steps: {resumed}").into());
        }
    }
    Ok(())
}

/// What the engine says it took: never nothing, which a device has that is no more, and never more
/// than was planned.
fn taken(job: &Job, first: &Gpu) -> Result<kinora::job::MemoryTaken, Failed> {
    let taken = job.memory_taken().ok_or("nothing was taken")?;
    match taken.peak > first.memory().current && taken.peak <= taken.planned {
        true => Ok(taken),
        false => Err(format!("{taken:?}").into()),
    }
}

fn at(number: usize, error: Failed) -> Failed {
    format!("moment {number}: {}", error.message().unwrap_or_default()).into()
}

fn frames(
    engine: &Engine,
    latents: &Latents,
    events: &mut dyn FnMut(Event),
) -> Result<Vec<Vec<u8>>, Failed> {
    let mut frames = Vec::new();
    decode(engine, latents, events, &mut |index, rgb| {
        assert_eq!(index, frames.len(), "a frame twice, or out of order");
        frames.push(rgb.to_vec());
    })?;
    Ok(frames)
}

fn decoding(gpu: &Gpu, path: &Path) -> Result<(), Failed> {
    let (engine, request) = open(gpu, path)?;
    let latents = engine
        .prepare(&request)?
        .sample(&mut |_| {}, &Cancel::new())?;
    let whole = frames(&engine, &latents, &mut |_| {})?;
    let own = Gpu::open(&options())?;
    let (engine, _) = open(&own, path)?;
    let mut events = Vec::new();
    let made = frames(&engine, &latents, &mut |event| {
        let done = |done: usize| matches!(event, Event::Progress { stage: Stage::Decode, done: d, .. } if d == done);
        if done(1) {
            own.pull_away();
        }
        events.push(event);
    })?;
    if made != whole {
        return Err("other frames".into());
    }
    // One frame is decoded before anything else can be lost.
    if whole.len() > 1 {
        told(&events, "the device was lost")?;
    }
    Ok(())
}

/// A device of the host application is not opened anew: what was sampled is handed back.
fn for_good(_: &Gpu, path: &Path) -> Result<(), Failed> {
    let host = || -> Result<Gpu, Failed> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let adapter = instance.request_adapter(&wgpu::RequestAdapterOptions::default());
        let adapter = pollster::block_on(adapter)?;
        let need = Gpu::requirements(&adapter);
        let descriptor = wgpu::DeviceDescriptor {
            required_features: need.features,
            required_limits: need.limits,
            experimental_features: need.experimental,
            ..Default::default()
        };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))?;
        Ok(Gpu::from_device(&adapter, device, queue, &options())?)
    };
    let (first, second) = (host()?, host()?);
    let folder = || ModelFolder::open(path.join("model"));
    let (_, request) = open(&first, path)?;
    let engine = Engine::new(first.clone(), folder()?)?;
    let never = Cancel::new();
    let mut kept: Option<SolverState> = None;
    let mut observer = |event| match event {
        Event::Progress {
            stage: Stage::Sample,
            done: 5,
            ..
        } => first.pull_away(),
        Event::Checkpoint(state) => kept = Some((*state).clone()),
        _ => {}
    };
    let failed = engine.prepare(&request)?.sample(&mut observer, &never);
    match failed {
        Err(Error::Gpu(GpuError::Lost { .. })) => {}
        other => return Err(format!("expected a lost device, found {:?}", other.err()).into()),
    }
    let kept = kept.ok_or("nothing was kept")?;
    let engine = Engine::new(second, folder()?)?;
    let whole = engine.prepare(&request)?.sample(&mut |_| {}, &never)?;
    let mut job = engine.prepare(&request)?;
    job.resume_from(kept.clone());
    let made = job.sample(&mut |_| {}, &never)?;
    match kept.steps_done > 0 && bits(&made.values) == bits(&whole.values) {
        true => Ok(()),
        false => Err(format!("other latents after {} steps", kept.steps_done).into()),
    }
}

/// Less room than the device said it has.
fn no_room(gpu: &Gpu, path: &Path) -> Result<(), Failed> {
    let (engine, request) = open(gpu, path)?;
    let never = Cancel::new();
    let mut job = engine.prepare(&request)?;
    let whole = job.sample(&mut |_| {}, &never)?;
    let pictures = frames(&engine, &whole, &mut |_| {})?;
    let plan = job.plan();
    let bytes = |part| plan.part(part).map_or(0, |part| part.bytes());

    let own = Gpu::open(&options())?;
    own.pretend_memory(bytes(Part::Transformer) - 4);
    let (engine, _) = open(&own, path)?;
    let mut events = Vec::new();
    let mut small = engine.prepare(&request)?;
    let made = small.sample(&mut |event| events.push(event), &never)?;
    told(&events, "out of memory")?;
    let taken = taken(&small, &own)?;
    let sampling = [Part::TextEncoder, Part::Transformer, Part::Transformer2].map(bytes);
    if sampling.into_iter().max() <= Some(taken.planned) {
        return Err(format!("{taken:?} is of the first plan").into());
    }
    if bits(&made.values) != bits(&whole.values) {
        return Err("other latents".into());
    }
    own.pretend_memory(bytes(Part::VaeDecoder) - 4);
    let made = frames(&engine, &whole, &mut |_| {})?;
    if made != pictures {
        return Err("other frames".into());
    }
    // No room for anything: one sentence.
    own.pretend_memory(1);
    match engine.prepare(&request)?.sample(&mut |_| {}, &never) {
        Err(error) if error.to_string().contains("out of memory") => Ok(()),
        other => Err(format!("in one byte: {:?}", other.err()).into()),
    }
}
