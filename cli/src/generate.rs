//! `kinora generate`: everything that can be refused is refused first, then the device is opened,
//! then clips are made one after another.

use std::io::{self, Read};

use kinora::media::VideoWriter;
use kinora::models::prompt::PROMPT_LIMIT;
use kinora::text_to_video::{Engine, Request, Settings, bytes_for_people};

use crate::args::GenerateArgs;
use crate::clip::{Clip, MODEL_PATH, made_by, video};
use crate::error::CliError;
use crate::interrupt::Interrupt;
use crate::model;
use crate::output::Target;
use crate::progress::Progress;

/// Makes the clips.
pub(crate) fn run(args: &GenerateArgs, quiet: bool) -> Result<(), CliError> {
    let request = args.request(prompt(args.prompt.as_deref())?);
    let folder = model::folder(&args.model)?;
    let first = Settings::resolve(&request, &folder.config()?)?;
    let runs = runs(args, &request, &first)?;
    for (_, target) in &runs {
        target.check()?;
    }
    if let Some((settings, target)) = runs.first() {
        // The encoder refuses sizes and rates that it cannot write; nothing is on the disk yet.
        let video = video(&args.video, settings.width, settings.height, settings.fps)?;
        VideoWriter::create(&target.clip, video)?;
    }
    model::check_weights(&folder)?;

    let interrupt = Interrupt::listen()?;
    let mut progress = Progress::new(quiet);
    let engine = model::open(&args.device, &args.memory, folder, &progress)?;
    if args.profile {
        progress.profile(engine.gpu());
    }
    // What the engine alone knows: how many tokens the prompt has.
    let notes = engine.settings(&request)?.notes;
    for note in &notes {
        progress.say(format_args!("note: {note}"));
    }
    let mut planned = None;
    if let Some((settings, _)) = runs.first() {
        // For all of them: they differ in their seeds alone.
        let plan = engine.memory_plan(settings)?;
        progress.say(format_args!("{plan}"));
        planned = Some(plan.peak_bytes());
    }
    for (settings, target) in runs {
        let settings = Settings {
            notes: Vec::new(),
            ..settings
        };
        one(args, &engine, &settings, &target, &interrupt, &mut progress)?;
    }
    if let Some(planned) = planned {
        let [peak, planned] = [engine.gpu().memory().peak, planned].map(bytes_for_people);
        progress.say(format_args!(
            "device memory: at most {peak} of {planned} planned"
        ));
    }
    Ok(())
}

/// The settings and files of each variation.
fn runs(
    args: &GenerateArgs,
    request: &Request,
    first: &Settings,
) -> Result<Vec<(Settings, Target)>, CliError> {
    let count = args.sampling.count;
    let begin = match first.seed.checked_add(count - 1) {
        Some(_) => first.seed,
        None if request.seed.is_none() => first.seed - count,
        None => {
            return Err(CliError::Seeds {
                seed: first.seed,
                count,
            });
        }
    };
    let one = |seed| {
        let target = Target::new(args, &request.prompt, seed);
        (
            Settings {
                seed,
                ..first.clone()
            },
            target,
        )
    };
    Ok((begin..=begin + (count - 1)).map(one).collect())
}

fn one(
    args: &GenerateArgs,
    engine: &Engine,
    settings: &Settings,
    target: &Target,
    interrupt: &Interrupt,
    progress: &mut Progress,
) -> Result<(), CliError> {
    progress.say(format_args!("seed: {}", settings.seed));
    let mut metadata = settings.metadata(engine)?;
    if let Some(path) = &args.model.model {
        metadata.push((MODEL_PATH.to_owned(), path.display().to_string()));
    }
    let interrupted = || CliError::Interrupted {
        path: target.clip.clone(),
    };
    interrupt.may_cut_off(&interrupted());
    let mut events = |event| progress.event(&event);
    let sampled = engine.sample(settings, interrupt.cancel(), &mut events);
    // The latents are worth waiting for until they are on the disk.
    interrupt.may_not_cut_off();
    let mut latents = sampled.map_err(|error| match CliError::from(error) {
        e if e.is_interruption() => interrupted(),
        e => e,
    })?;
    if args.video.no_metadata {
        // What decoding needs, and nothing of the prompt.
        metadata.retain(|(key, _)| ["width", "height", "fps"].contains(&key.as_str()));
    }
    latents.metadata = metadata.into_iter().collect();
    let mut video = video(&args.video, settings.width, settings.height, settings.fps)?;
    video.metadata = made_by(&latents.metadata);
    let clip = Clip {
        engine,
        latents,
        target,
        video,
        model: args.model.model.as_deref(),
        interrupt,
    };
    clip.keep_and_write(progress)
}

/// The prompt, from the command line or standard input.
fn prompt(argument: Option<&str>) -> Result<String, CliError> {
    let prompt = match argument {
        None => return Err(CliError::NoPrompt),
        Some("-") => {
            let mut text = String::new();
            let mut input = io::stdin().lock().take(PROMPT_LIMIT as u64 + 1);
            input
                .read_to_string(&mut text)
                .map_err(|source| CliError::ReadPrompt { source })?;
            if text.len() > PROMPT_LIMIT {
                return Err(CliError::LongPrompt {
                    limit: PROMPT_LIMIT,
                });
            }
            text.trim_end_matches(['\n', '\r']).to_owned()
        }
        Some(text) => text.to_owned(),
    };
    if prompt.trim().is_empty() {
        return Err(CliError::EmptyPrompt);
    }
    Ok(prompt)
}
