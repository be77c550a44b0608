//! `kinora generate`: everything that can be refused is refused first, then the device is opened,
//! then clips are made one after another.

use std::io::{self, Read};
use std::sync::Arc;

use kinora::job::{Metadata, Outputs, Series, SeriesClip, is_folder};
use kinora::pipeline::Model;
use kinora::request::{Settings, check_prompts, read_prompts, seeds};
use kinora::text::clean::PROMPT_LIMIT;
use kinora::text::decoded::decoded;
use kinora::weights::Extent;
use kinora::{Event, Job, Request, SavedRun};

use crate::args::GenerateArgs;
use crate::clip::{Watched, sink, tell, video};
use crate::error::CliError;
use crate::interrupt::Interrupt;
use crate::model;
use crate::output;
use crate::preview::Preview;
use crate::progress::Progress;
use crate::unfinished::{Origin, entries, first_seed};

/// Makes the clips.
pub(crate) fn run(args: &GenerateArgs, quiet: bool) -> Result<(), CliError> {
    run_from(args, quiet, Origin::here().as_ref(), None)
}

/// The model that the clips are made by.
fn opened(args: &GenerateArgs) -> Result<Arc<Model>, CliError> {
    let folder = model::folder_to(&args.model, Extent::Whole)?;
    Ok(Arc::new(Model::open(model::quantized(
        folder,
        &args.quantize,
    ))?))
}

/// Makes the clips of a command that was typed at `origin`, continuing from a saved run of it.
pub(crate) fn run_from(
    args: &GenerateArgs,
    quiet: bool,
    origin: Option<&Origin>,
    given: Option<SavedRun>,
) -> Result<(), CliError> {
    let Some(file) = &args.prompts else {
        let request = args.request(prompt(args.prompt.as_deref())?);
        return clips(args, &request, opened(args)?, quiet, origin, given);
    };
    if args
        .output
        .as_deref()
        .is_some_and(|output| !is_folder(output))
    {
        return Err(CliError::PromptsOutput);
    }
    let mut base = args.request(String::new());
    // A seed that is drawn would be another when the command is repeated.
    base.seed = base.seed.or(Some(0));
    let (requests, model) = (read_prompts(file, &base)?, opened(args)?);
    // Everything that can be refused is refused before the first clip.
    check_prompts(file, &requests, model.config())?;
    let make = |(_, request)| clips(args, &request, model.clone(), quiet, origin, None);
    requests.into_iter().try_for_each(make)
}

/// Makes the clips of one prompt.
fn clips(
    args: &GenerateArgs,
    request: &Request,
    model: Arc<Model>,
    quiet: bool,
    origin: Option<&Origin>,
    given: Option<SavedRun>,
) -> Result<(), CliError> {
    let decoder = model::decoder(&args.decoder, &args.model, &model)?;
    let drawn = Settings::resolve(request, model.config())?;
    let outputs = output::outputs(args, &request.prompt)?;
    // The same command again means the same clip.
    let kept = match request.seed {
        Some(_) => None,
        None => seed_kept(&outputs, &request.prompt, origin),
    };
    let first = kept.map_or_else(|| drawn.clone(), |seed| drawn.with_seed(seed));
    let count = args.sampling.count.into();
    let seeds = seeds(first.seed, request.seed.is_some(), count)?;
    let mut series = Series::open(&outputs, seeds, given)?;
    let preview = Preview::asked(args, model.config().vae.z_dim, series.is_resuming())?;
    let video = video(&args.video, first.width, first.height, first.fps)?;
    series.check(first.frames, &video)?;
    model.open_weights()?;

    let interrupt = Interrupt::listen()?;
    let mut progress = Progress::telling(quiet, &args.report);
    let engine = model::open(&args.device, &args.memory, model, &progress)?.with_decoder(decoder);
    let engine = match preview {
        Some(preview) => {
            progress.preview(preview);
            engine.with_previews()
        }
        None => engine,
    };
    if args.profile {
        progress.profile(&engine.gpu());
    }
    let mut job = engine.prepare_settings(first)?;
    job.add_metadata(args.model.typed().chain(args.decoder.typed()));
    progress.say(format_args!("model: {}", engine.config().defaults.name));
    for note in job.notes() {
        progress.event(&Event::Note(note.clone()));
    }
    // For all of them: they differ in their seeds alone.
    progress.say(job.plan());

    // Beside a clip of one name the state may be another run's: its seed is not taken then.
    let borrowed = request.seed.is_none() && outputs.is_named() && kept.is_some();
    let own = borrowed.then_some(drawn.seed);
    let clips = series.settle(&job, own, &|first, target| {
        entries(origin, &output::again(&outputs, target), first)
    })?;
    let taken = make_all(clips, args, &interrupt, &mut progress)?;
    progress.memory(taken);
    // The process ends here, and the system takes its device down faster than destructors do.
    if args.prompts.is_none() {
        std::mem::forget((engine, job));
    }
    Ok(())
}

/// Makes the clips. A clip's state is deleted only once the next clip has written its own, so that
/// the command can always be resumed.
fn make_all(
    clips: Vec<SeriesClip>,
    args: &GenerateArgs,
    interrupt: &Interrupt,
    progress: &mut Progress,
) -> Result<Option<kinora::job::MemoryTaken>, CliError> {
    let mut last: Option<Job> = None;
    let mut taken = None;
    let mut made = Vec::new();
    for mut clip in clips {
        if clip.is_made {
            progress.say(format_args!(
                "{}: kept, this command made it",
                clip.target.clip.display()
            ));
            if !args.report.json {
                output::print(format!("{}\n", clip.target.clip.display()).as_bytes())?;
            }
        } else {
            make(&mut clip, args, interrupt, progress, &mut last)?;
            taken = clip.job.memory_taken();
        }
        let mut object = clip.job.metadata().to_json();
        object["path"] = clip.target.clip.display().to_string().into();
        object["kept"] = clip.is_made.into();
        made.push(object);
        if let Some(mut last) = last.replace(clip.job) {
            last.forget();
        }
    }
    if let Some(mut last) = last {
        last.forget();
    }
    if args.report.json {
        let [peak, planned] = taken.map_or([0, 0], |t| [t.peak, t.planned]);
        let memory = serde_json::json!({"peak_bytes": peak, "planned_bytes": planned});
        let object = serde_json::json!({"clips": made, "device_memory": memory});
        output::print(format!("{object}\n").as_bytes())?;
    }
    Ok(taken)
}

/// The seed of an unfinished run of the same command, for one that leaves the seed open.
fn seed_kept(outputs: &Outputs, prompt: &str, origin: Option<&Origin>) -> Option<u64> {
    let states = outputs.states().into_iter();
    let mut same = states.filter_map(|path| {
        let saved = SavedRun::read(path).ok()?;
        // Read from standard input, the prompt is not among the words.
        let is_same =
            saved.entry("prompt") == Some(prompt) && Origin::of(&saved).as_ref() == origin;
        (outputs.is_named() || is_same).then_some(saved)
    });
    first_seed(&same.next()?)
}

/// Samples what is not sampled, and decodes. `last` is the clip before, whose state goes when
/// this one has its own.
fn make(
    clip: &mut SeriesClip,
    args: &GenerateArgs,
    interrupt: &Interrupt,
    progress: &mut Progress,
    last: &mut Option<Job>,
) -> Result<(), CliError> {
    let SeriesClip { job, target, .. } = clip;
    target.hold()?;
    let kept = job.kept().map(|(path, steps)| (path.to_owned(), steps));
    let watched = Watched::new(target, interrupt, progress, kept);
    job.save(&mut |event| watched.event(&event));
    if let Some(mut last) = last.take() {
        last.forget();
    }
    watched.say(format_args!("seed: {}", job.settings().seed));
    let cancel = interrupt.cancel();
    let mut observer = |event| watched.event(&event);
    let latents = job.sample(&mut observer, cancel);
    let mut latents = latents.map_err(|error| watched.ended(error, job.kept().is_some()))?;
    watched.may_be_cut_off();
    let settings = job.settings();
    let mut video = video(&args.video, settings.width, settings.height, settings.fps)?;
    if args.video.no_metadata {
        latents.metadata = Metadata(latents.metadata).anonymous().0;
    } else {
        video.metadata = job.metadata().entries();
    }
    let ended = |error: CliError| watched.ended(error, true);
    if let Some(path) = &target.latents {
        latents.write(path).map_err(|e| ended(e.into()))?;
    }
    let mut sink = sink(target, video).map_err(ended)?;
    job.decode(&latents, &mut sink, &mut observer, cancel)
        .map_err(|error| ended(error.into()))?;
    drop(watched);
    tell(&sink, target, progress, args.report.json)
}
/// The prompt, from the command line or standard input.
pub(crate) fn prompt(argument: Option<&str>) -> Result<String, CliError> {
    let prompt = match argument {
        None => return Err(CliError::NoPrompt),
        Some("-") => {
            let mut bytes = Vec::new();
            // UTF-16 takes up to two bytes a letter, and a mark.
            let mut input = io::stdin().lock().take(2 * PROMPT_LIMIT as u64 + 4);
            let text = input.read_to_end(&mut bytes).and_then(|_| decoded(&bytes));
            let text = text.map_err(|source| CliError::ReadPrompt { source })?;
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
