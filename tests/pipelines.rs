//! Whole pipelines against the reference, from the seed alone: prompt, seed and settings in,
//! final latents and decoded frames out.
//!
//! `KINORA_FIXTURES` names a folder of further fixtures (`make.py --random SEED --out DIR`).

#![allow(unreachable_pub, reason = "modules of a test program")]

mod harness;
#[path = "pipelines/lost.rs"]
mod lost;
#[path = "pipelines/once.rs"]
mod once;
#[path = "pipelines/planes.rs"]
mod planes;
#[path = "pipelines/quantised.rs"]
mod quantised;
#[path = "pipelines/quantized_at_load.rs"]
mod quantized_at_load;
#[path = "pipelines/resumed.rs"]
mod resumed;
#[path = "pipelines/saved.rs"]
mod saved;

#[path = "pipelines/shown.rs"]
mod shown;

use std::cell::Cell;
use std::path::{Path, PathBuf};

use harness::compare::{psnr, relative_l2};
use harness::device_test;
use harness::guise::{Guise, gpu_as, guise_test};
use kinora::gpu::{Gpu, STAGING_BYTES};
use kinora::job::{ClipInfo, Frame};
use kinora::model_files::{ModelFolder, SchedulerName};
use kinora::pictures::Fit;
use kinora::weights::{Checkpoint, Latents};
use kinora::{Cancel, Engine, Error, Event, Part, Request, Size, Stage};
use libtest_mimic::{Failed, Trial};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// How far from the reference a run may be.
struct Tolerance {
    /// Relative L2 distance of the final latents.
    latents: f64,
    /// Peak signal-to-noise ratio of the frames, dB, at least.
    frames: f64,
}

/// With f32 operands the reference's own noise, f32 against f64, is below 2e-6; the smallest
/// planted mistake moves the latents by 6e-5. Operands of f16 have 11 bits of fraction.
fn tolerance(guise: Guise) -> Tolerance {
    match guise {
        Guise::Found | Guise::Staged | Guise::Bare => Tolerance {
            latents: 3e-5,
            frames: 50.0,
        },
        Guise::Coop | Guise::Apple => Tolerance {
            latents: 2e-2,
            frames: 35.0,
        },
    }
}

fn fixtures(root: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(root) else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            case(path).is_ok_and(|case| model(path, &case).join("model_index.json").is_file())
        })
        .collect();
    found.sort();
    found
}

/// What a fixture's `case.json` says.
fn case(path: &Path) -> Result<Value, Failed> {
    Ok(serde_json::from_slice(&std::fs::read(
        path.join("case.json"),
    )?)?)
}

/// The folder of a fixture's model, which it may share with another.
fn model(path: &Path, case: &Value) -> PathBuf {
    path.join(case["model"].as_str().unwrap_or("model"))
}

/// The folder of the repository's own fixtures.
fn own_fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

fn main() {
    let own = own_fixtures();
    let mut all = fixtures(&own);
    assert!(
        all.len() >= 4,
        "{} fixtures in {}",
        all.len(),
        own.display()
    );
    if let Some(more) = std::env::var_os("KINORA_FIXTURES") {
        all.extend(fixtures(Path::new(&more)));
    }
    let trials = all.into_iter().flat_map(|path| {
        let name = path
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        let in_guise = |guise: Guise| {
            let path = path.clone();
            guise_test(guise, &format!("pipeline/{name}"), move |_, _| {
                let gpu = gpu_as(guise).ok_or("no device")?;
                pipeline(gpu, &path, &tolerance(guise))
            })
        };
        let mut trials = Vec::from([Guise::Found, Guise::Staged, Guise::Coop].map(in_guise));
        trials.extend(resumed::trials(&path, &name));
        if ["wan21", "a14b"].contains(&name.as_str()) {
            // One transformer and two; what else differs does not meet a device's loss.
            trials.extend(lost::trials(&path, &name));
        }
        trials.push(device_test(format!("memory/{name}"), move |gpu| {
            memory(gpu, &path)
        }));
        trials
    });
    let mut trials: Vec<Trial> = trials.collect();
    trials.extend(distilled_trials(&own));
    trials.extend(guidance_stop_trials(&own));
    trials.extend(saved::trials());
    trials.extend(quantized_at_load::trials());
    trials.push(quantised::trial());
    trials.extend(once::trials());
    trials.extend(shown::trials());
    trials.extend(planes::trials());
    harness::run(trials);
}

/// The cases of `parts/NAME.json`.
fn cases(fixtures: &Path, name: &str, at_least: usize) -> serde_json::Map<String, Value> {
    let listing = std::fs::read(fixtures.join(format!("parts/{name}.json"))).unwrap_or_default();
    let cases: Value = serde_json::from_slice(&listing).unwrap_or_default();
    let cases = cases.as_object().cloned().unwrap_or_default();
    assert!(cases.len() >= at_least, "{} cases", cases.len());
    cases
}

/// Guidance of a part of the steps: the passes that are left out are counted out, and the latents are the reference's.
fn guidance_stop_trials(fixtures: &Path) -> Vec<Trial> {
    let trial = |(name, case): (String, Value)| {
        let fixtures = fixtures.to_owned();
        device_test(format!("guidance_stop/{name}"), move |gpu| {
            let fixture = case["fixture"].as_str().ok_or("a fixture")?;
            let (engine, request) = open(gpu, &fixtures.join(fixture))?;
            let mut request = request;
            request.guidance_stop = case["guidance_stop"].as_f64();
            let mut passes = 0;
            let mut observer = |event| {
                if let Event::Progress {
                    stage: Stage::Sample,
                    done,
                    total,
                } = event
                {
                    passes = done;
                    assert!(done <= total);
                }
            };
            let mut job = engine.prepare(&request)?;
            let latents = job.sample(&mut observer, &Cancel::new())?;
            if passes != 9 {
                return Err(format!("{passes} passes, expected 6 and 3 of guidance").into());
            }
            near_to(&latents, &fixtures, "guidance_stop", &name)
        })
    };
    cases(fixtures, "guidance_stop", 2)
        .into_iter()
        .map(trial)
        .collect()
}

/// Distilled sampling of the fixture `wan21`, each case of `parts/distilled.json`.
fn distilled_trials(fixtures: &Path) -> Vec<Trial> {
    let cases = cases(fixtures, "distilled", 4);
    let asked = cases.into_iter().map(|(name, case)| {
        let fixtures = fixtures.to_owned();
        device_test(format!("distilled/{name}"), move |gpu| {
            let (engine, request) = open(gpu, &fixtures.join("wan21"))?;
            let times = case["timesteps"].as_array().ok_or("a list")?;
            let mut request = request;
            request.steps = None;
            request.scheduler = case["scheduler"].as_str().and_then(SchedulerName::named);
            request.timesteps = times.iter().map(|t| Some(t.as_u64()? as u32)).collect();
            request.shift = case["shift"].as_f64();
            request.guidance = case["guidance"].as_f64();
            request.seed = case["seed"].as_u64();
            distilled(&engine.with_previews(), &request, &fixtures, &name)
        })
    });
    let mut trials: Vec<Trial> = asked.collect();
    let fixtures = fixtures.to_owned();
    trials.push(device_test("distilled/chosen_by_the_model", move |gpu| {
        // FastWan's folders name the pipeline, and the undistilled model's scheduler.
        let place = tempfile::tempdir()?;
        copy(&fixtures.join("wan21"), place.path())?;
        let index = place.path().join("model/model_index.json");
        let text = std::fs::read_to_string(&index)?;
        std::fs::write(&index, text.replace("WanPipeline", "WanDMDPipeline"))?;
        let (engine, request) = open(gpu, place.path())?;
        let mut request = request;
        request.steps = None;
        request.guidance = None;
        distilled(&engine.with_previews(), &request, &fixtures, "dmd")
    }));
    trials
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            std::fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

/// The final latents of a distilled run are the reference loop's.
fn distilled(
    engine: &Engine,
    request: &Request,
    fixtures: &Path,
    name: &str,
) -> Result<(), Failed> {
    let mut job = engine.prepare(request)?;
    let mut predicted = Vec::new();
    let mut observer = |event| {
        if let Event::Predicted { step, latents, .. } = event {
            predicted.push((step, latents));
        }
    };
    let latents = job.sample(&mut observer, &Cancel::new())?;
    // Each step says what it predicts, and the last one's prediction is the clip.
    let steps: Vec<usize> = predicted.iter().map(|(step, _)| *step).collect();
    let last = predicted.last().map(|(_, latents)| &latents.values);
    if !steps.iter().copied().eq(1..=job.settings().steps) || last != Some(&latents.values) {
        return Err(format!("predictions of steps {steps:?}, or another clip at the end").into());
    }
    near_to(&latents, fixtures, "distilled", name)
}

/// The latents are those that `parts/FILE.safetensors` has under that name.
fn near_to(latents: &Latents, fixtures: &Path, file: &str, name: &str) -> Result<(), Failed> {
    let file = fixtures.join(format!("parts/{file}.safetensors"));
    let wanted = Checkpoint::open(file, "expected")?
        .get(name, &latents.shape)?
        .to_f32();
    let distance = relative_l2(&latents.values, &wanted);
    println!("  {distance:.1e} from the reference's latents");
    let bound = tolerance(Guise::Found).latents;
    if distance > bound {
        return Err(format!(
            "latents are {distance:.2e} from the reference's, at most {bound:.0e}"
        )
        .into());
    }
    Ok(())
}

/// The fixture's request, and the model it is for.
fn open(gpu: &Gpu, path: &Path) -> Result<(Engine, Request), Failed> {
    let case = case(path)?;
    let number = |key: &str| case[key].as_u64();
    let text = |key: &str| case[key].as_str().map(str::to_owned);
    let mut request = Request::new(text("prompt").unwrap_or_default());
    request.negative_prompt = Some(text("negative_prompt").unwrap_or_default());
    request.size = Size::Exact(
        number("width").map(|n| n as usize),
        number("height").map(|n| n as usize),
    );
    request.frames = number("frames").map(|n| n as usize);
    request.steps = number("steps").map(|n| n as usize);
    request.guidance = case["guidance"].as_f64();
    request.guidance_2 = case["guidance_2"].as_f64();
    request.seed = number("seed");
    let file = |key: &str| case[key].as_str().map(|file| path.join(file));
    request.image = file("image");
    request.last_image = file("last_image");
    request.video = file("video");
    request.strength = case["strength"].as_f64();
    request.fit = case["fit"].as_str().and_then(Fit::named);
    let engine = Engine::new(gpu.clone(), ModelFolder::open(model(path, &case))?)?;
    Ok((engine, request))
}

/// Decodes latents whole, and hands each frame to `each`.
fn decode(
    engine: &Engine,
    latents: &Latents,
    observer: &mut dyn FnMut(Event),
    each: &mut dyn FnMut(usize, &[u8]),
) -> Result<(), Failed> {
    let mut decoding = engine.prepare_decoding(latents)?;
    let [width, height] = decoding.size();
    let info = ClipInfo {
        width,
        height,
        frames: decoding.frames(),
    };
    let mut sink = |frame: &Frame<'_>| {
        each(frame.index, &frame.rgb()?);
        Ok(())
    };
    decoding.run(latents, &info, &mut sink, observer, &Cancel::new())?;
    Ok(())
}

/// A decode shows how far it is, in bands before there is a frame, and never goes back.
fn progress_of_decode(engine: &Engine, latents: &Latents, bands: bool) -> Result<(), Failed> {
    let frames = Cell::new(0);
    let mut reached = Vec::new();
    let mut events = |event| {
        if let Event::Progress { stage, done, .. } = event
            && stage == Stage::Decode
        {
            reached.push((done, frames.get()));
        }
    };
    decode(engine, latents, &mut events, &mut |_, _| {
        frames.set(frames.get() + 1);
    })?;
    let total = frames.get();
    let grows = reached.windows(2).all(|pair| pair[0].0 < pair[1].0);
    let early = reached.iter().filter(|(_, frames)| *frames == 0).count();
    let last = reached.last().map(|(done, _)| *done);
    match grows && last == Some(total) && (early > 1) == bands {
        true => Ok(()),
        false => Err(format!("a decode (in bands: {bands}) reached {reached:?}").into()),
    }
}

/// The plan says to the byte what a run takes, and what does not fit is refused with what would.
fn memory(gpu: &Gpu, path: &Path) -> Result<(), Failed> {
    let (engine, request) = open(gpu, path)?;
    let mut job = engine.prepare(&request)?;
    let plan = job.plan().clone();
    let before = gpu.memory().current;
    gpu.reset_peak();
    let made = job.sample(&mut |_| {}, &Cancel::new())?;
    let sampled = gpu.memory().peak - before;
    gpu.reset_peak();
    decode(&engine, &made, &mut |_| {}, &mut |_, _| {})?;
    // What uploads go through was there before.
    let found = [sampled, gpu.memory().peak - before].map(|bytes| bytes + STAGING_BYTES);
    let planned = |parts: &[Part]| {
        let parts = plan.parts.iter().filter(|part| parts.contains(&part.part));
        parts.map(|part| part.bytes()).max().unwrap_or(0)
    };
    let said = [
        planned(&[
            Part::TextEncoder,
            Part::ImageEncoder,
            Part::VaeEncoder,
            Part::Transformer,
            Part::Transformer2,
        ]),
        planned(&[Part::VaeDecoder]),
    ];
    if found != said {
        return Err(format!("peaks of {found:?} bytes, planned were {said:?}").into());
    }
    let bytes = |engine: &Engine| -> Result<u64, Error> {
        let decoding = engine.prepare_decoding(&made)?;
        Ok(decoding.plan().map_or(0, |plan| plan.bytes()))
    };
    let mut tight = engine;
    let mut least = bytes(&tight)?;
    loop {
        tight = tight.with_memory(least - 4);
        match bytes(&tight) {
            Ok(less) => least = less,
            Err(_) => break,
        }
    }
    tight = tight.with_memory(least);
    let decoding = tight.prepare_decoding(&made)?;
    let pieces = decoding.plan().and_then(|plan| plan.pieces.clone());
    let bands = pieces.is_some_and(|pieces| pieces.contains("bands of"));
    // Pictures that are lower, or single, take no less in bands.
    let high = ["a14b", "i2v_a14b", "i2v_a14b_last", "flf2v"];
    if !bands && high.iter().any(|name| path.ends_with(name)) {
        return Err("the least memory does without bands".into());
    }
    progress_of_decode(&tight, &made, bands)?;
    let tight = tight.with_memory(10_000);
    match tight.prepare(&request) {
        Err(error) if error.to_string().contains("memory budget of") => Ok(()),
        other => Err(format!("10 kB were planned as {other:?}").into()),
    }
}

fn pipeline(gpu: &Gpu, path: &Path, tolerance: &Tolerance) -> Result<(), Failed> {
    let (engine, request) = open(gpu, path)?;
    let mut job = engine.prepare(&request)?;
    let settings = job.settings().clone();
    let mut unread = Vec::new();
    let mut listen = |event: Event| {
        if let Event::Note(note) = event {
            unread.push(note.to_string());
        }
    };
    let latents = job.sample(&mut listen, &Cancel::new())?;
    let expected = Checkpoint::open(path.join("expected.safetensors"), "expected")?;
    let wanted = expected.get("latents", &latents.shape)?.to_f32();
    let distance = relative_l2(&latents.values, &wanted);

    let shape = [settings.frames, settings.height, settings.width, 3];
    let frames = frames_u8(path, &shape)?;
    let size = settings.width * settings.height * 3;
    let mut worst = f64::INFINITY;
    let mut count = 0;
    let mut sink = |frame: &Frame<'_>| {
        let wanted = &frames[frame.index * size..(frame.index + 1) * size];
        worst = worst.min(psnr(&frame.rgb()?, wanted));
        count += 1;
        Ok(())
    };
    job.decode(&latents, &mut sink, &mut listen, &Cancel::new())?;
    println!("  {distance:.1e} from the reference's latents, frames at least {worst:.1} dB");
    if !unread.is_empty() {
        return Err(format!("notes: {unread:?}").into());
    }
    if count != settings.frames {
        return Err(format!("{count} frames, expected {}", settings.frames).into());
    }
    if distance > tolerance.latents {
        return Err(format!(
            "latents are {distance:.2e} from the reference's, at most {:.0e}",
            tolerance.latents
        )
        .into());
    }
    if worst < tolerance.frames {
        let least = tolerance.frames;
        return Err(format!("a frame has {worst:.1} dB, at least {least}").into());
    }
    Ok(())
}

/// The reference's 8-bit frames: the one tensor that is not a float.
fn frames_u8(path: &Path, shape: &[usize; 4]) -> Result<Vec<u8>, Failed> {
    let file = std::fs::read(path.join("expected.safetensors"))?;
    let file = SafeTensors::deserialize(&file)?;
    let frames = file.tensor("frames")?;
    if frames.dtype() != Dtype::U8 || frames.shape() != shape {
        let found = (frames.dtype(), frames.shape());
        return Err(format!("frames: found {found:?}, expected U8 {shape:?}").into());
    }
    Ok(frames.data().to_vec())
}
