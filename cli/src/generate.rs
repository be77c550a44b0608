//! `kinora generate`: everything that can be refused is refused first, then the device is opened,
//! then clips are made one after another.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::PathBuf;

use kinora::media::{VideoOptions, VideoWriter};
use kinora::text::clean::PROMPT_LIMIT;
use kinora::text_to_video::{Engine, Request, Settings};
use kinora::weights::{Latents, Sample, Sampled};

use crate::args::GenerateArgs;
use crate::clip::{Clip, TINY_DECODER, made_by, video};
use crate::error::CliError;
use crate::interrupt::Interrupt;
use crate::model;
use crate::output::{self, Target, name_of};
use crate::preview::Preview;
use crate::progress::Progress;
use crate::unfinished::{Found, Keeper, Origin, entries, is_made, states_in};

/// Makes the clips.
pub(crate) fn run(args: &GenerateArgs, quiet: bool) -> Result<(), CliError> {
    run_from(args, quiet, Origin::here().as_ref(), None)
}

/// Makes the clips of a command that was typed at `origin`, going on from what is kept of it.
pub(crate) fn run_from(
    args: &GenerateArgs,
    quiet: bool,
    origin: Option<&Origin>,
    mut given: Option<Found>,
) -> Result<(), CliError> {
    let mut request = args.request(prompt(args.prompt.as_deref())?);
    let folder = model::quantized(model::folder(&args.model)?, &args.quantize);
    let decoder = model::decoder(&args.decoder, &args.model, &folder)?;
    let first = Settings::resolve(&request, &folder.config()?)?;
    let drawn = first.seed;
    let first = match request.seed {
        Some(_) => first,
        // The same command again means the same clip.
        None => match seed_kept(args, &request.prompt, origin) {
            None => first,
            seed => {
                request.seed = seed;
                Settings::resolve(&request, &folder.config()?)?
            }
        },
    };
    let first_seed = first.seed;
    let mut runs = Vec::new();
    for (settings, target) in variations(args, &request, &first)? {
        let named = |found: &mut Found| found.seed() == Some(settings.seed.into());
        let found = match given.take_if(named) {
            None => match Found::beside(&target.clip) {
                // It is replaced.
                Err(_) if args.video.force => None,
                found => found?,
            },
            given => given,
        };
        runs.push((settings, target, found));
    }
    let going_on = runs.iter().any(|(_, _, found)| found.is_some());
    let preview = Preview::asked(args, &folder, going_on)?;
    for (_, target, found) in &mut runs {
        target.again = found.is_some();
        // Whether a clip that is there is this command's own is seen when the model is open.
        let done = going_on && target.clip.is_file();
        if !done {
            target.check()?;
        }
    }
    if let Some((settings, target, _)) = runs.first() {
        // The encoder refuses sizes and rates that it cannot write; nothing is on the disk yet.
        let video = video(&args.video, settings.width, settings.height, settings.fps)?;
        let overwrite = video.overwrite || going_on;
        VideoWriter::create(&target.clip, VideoOptions { overwrite, ..video })?;
    }
    model::check_weights(&folder)?;

    let interrupt = Interrupt::listen()?;
    let mut progress = Progress::new(quiet);
    let engine = model::open(&args.device, &args.memory, folder, &progress)?.with_decoder(decoder);
    let engine = match preview {
        Some(preview) => {
            progress.preview(preview);
            engine.with_previews()
        }
        None => engine,
    };
    if args.profile {
        progress.profile(engine.gpu());
    }
    // What the engine alone knows: how many tokens the prompt has.
    let notes = engine.settings(&request)?.notes;
    for note in &notes {
        progress.say(format_args!("note: {note}"));
    }
    if let Some((settings, ..)) = runs.first() {
        // For all of them: they differ in their seeds alone.
        let plan = engine.memory_plan(settings)?;
        progress.say(format_args!("{plan}"));
    }
    let run = |settings: Settings, target: Target, found, first_seed| {
        let output = output_again(args, &request.prompt, &target);
        let own = entries(engine.gpu().caps(), origin, &output, first_seed);
        let mut run = Run::new(args, &engine, settings, target, found, own)?;
        run.check(args.video.force, going_on)?;
        Ok::<_, CliError>(run)
    };
    // One clip of this name: what is kept there may be another run's, and its seed no choice of
    // this one's.
    let borrowed = first_seed != drawn && args.output.is_some() && args.sampling.count == 1;
    let mut checked = Vec::new();
    for (settings, target, found) in runs {
        let kept = found.is_some();
        let made = run(settings, target, found, first_seed)?;
        let anew = borrowed && args.sampling.seed.is_none() && kept && made.found.is_none();
        checked.push(match anew {
            false => made,
            true => {
                let settings = Settings {
                    seed: drawn,
                    ..made.settings
                };
                run(settings, made.target, None, drawn)?
            }
        });
    }
    let runs = checked;
    // A state goes only when the next clip has one: that of a command is never without.
    let mut last: Option<Keeper> = None;
    for run in runs {
        let mut keeper = run.keeper();
        if run.is_made {
            output::print(format!("{}\n", run.target.clip.display()).as_bytes())?;
        } else {
            if run.found.is_none() {
                keeper.keep(Sampled::Nothing, &progress);
            }
            if let Some(mut last) = last.take() {
                last.remove();
            }
            run.make(&mut keeper, &interrupt, &mut progress)?;
        }
        if let Some(mut last) = last.replace(keeper) {
            last.remove();
        }
    }
    if let Some(mut last) = last {
        last.remove();
    }
    progress.memory(&engine);
    // The process ends here, and the system takes its device down faster than destructors do.
    std::mem::forget(engine);
    Ok(())
}

/// The seed of an unfinished run of the same command, for one that leaves the seed open.
fn seed_kept(args: &GenerateArgs, prompt: &str, origin: Option<&Origin>) -> Option<u64> {
    let one = args.output.as_deref().filter(|_| args.sampling.count == 1);
    if let Some(output) = one {
        return Found::beside(output).ok()??.first_seed();
    }
    let name = match &args.output {
        Some(path) => path.clone(),
        None => name_of(prompt).into(),
    };
    let beginning = format!("{}-", name.file_stem()?.to_str()?);
    let folder = name.parent().filter(|f| !f.as_os_str().is_empty());
    let states = states_in(folder.unwrap_or(".".as_ref()), &beginning);
    let found = states.iter().filter_map(|path| Found::read(path).ok());
    let mut same = found.filter(|found| {
        // Read from standard input, it is not among the words.
        found.prompt() == Some(prompt) && found.origin().as_ref() == origin
    });
    same.next()?.first_seed()
}

/// The output that makes the same names once more.
fn output_again(args: &GenerateArgs, prompt: &str, target: &Target) -> PathBuf {
    match &args.output {
        Some(path) => path.clone(),
        None if args.sampling.count == 1 => target.clip.clone(),
        None => format!("{}.mp4", name_of(prompt)).into(),
    }
}

/// The settings and files of each variation.
fn variations(
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

/// One clip to be made.
struct Run<'a> {
    args: &'a GenerateArgs,
    engine: &'a Engine,
    settings: Settings,
    target: Target,
    /// What is kept of it.
    found: Option<Found>,
    /// What makes the clip again, and in a state also how the run was started.
    metadata: BTreeMap<String, String>,
    /// Those that a state has alone.
    own: Vec<(String, String)>,
    /// Whether the clip is whole already.
    is_made: bool,
}

impl<'a> Run<'a> {
    fn new(
        args: &'a GenerateArgs,
        engine: &'a Engine,
        settings: Settings,
        target: Target,
        found: Option<Found>,
        own: Vec<(String, String)>,
    ) -> Result<Self, CliError> {
        let mut metadata: BTreeMap<_, _> = settings.metadata(engine)?.into_iter().collect();
        metadata.extend(args.model.typed());
        if let Some(file) = &args.decoder.tiny_decoder {
            metadata.insert(TINY_DECODER.to_owned(), file.display().to_string());
        }
        Ok(Self {
            args,
            engine,
            settings,
            target,
            found,
            metadata,
            own,
            is_made: false,
        })
    }

    /// With what says how the run was started.
    fn state_metadata(&self) -> BTreeMap<String, String> {
        let own = self.own.iter().cloned();
        self.metadata.clone().into_iter().chain(own).collect()
    }

    /// Refuses a state of another run, and a clip of the name that this run did not make.
    fn check(&mut self, force: bool, going_on: bool) -> Result<(), CliError> {
        let all = self.state_metadata();
        match self.found.as_ref().map(|found| (found, found.check(&all))) {
            Some((found, Err(error))) if found.has_steps() && !force => return Err(error),
            Some((_, Err(_))) => {
                // What lies where this run will write is not its own.
                self.found = None;
                self.target.again = false;
                if !self.target.clip.is_file() {
                    self.target.check()?;
                }
            }
            _ => {}
        }
        if going_on && self.target.clip.is_file() {
            self.is_made = is_made(&self.target.clip, &self.metadata);
            if !self.is_made {
                self.target.check()?;
            }
        }
        Ok(())
    }

    fn keeper(&self) -> Keeper {
        let found = self.found.as_ref();
        Keeper::new(&self.target.clip, self.state_metadata(), found)
    }

    /// Samples what is not sampled, and decodes.
    fn make(
        self,
        keeper: &mut Keeper,
        interrupt: &Interrupt,
        progress: &mut Progress,
    ) -> Result<(), CliError> {
        let note = self.found.as_ref();
        let note = note.and_then(|found| found.note(&self.state_metadata()));
        let Self {
            args,
            engine,
            settings,
            target,
            found,
            mut metadata,
            ..
        } = self;
        progress.say(format_args!("seed: {}", settings.seed));
        if let Some(note) = note {
            progress.say(format_args!("note: {note}"));
        }
        let others = args.sampling.count > 1;
        let mut latents = match found.map(|found| found.state.sampled) {
            Some(Sampled::All(latents)) => {
                progress.say("sampling: done already");
                latents
            }
            from => {
                let from = match &from {
                    Some(Sampled::Part(sample)) => Some(sample),
                    _ => None,
                };
                sample(
                    engine, &settings, from, &target, keeper, interrupt, progress,
                )
                .inspect_err(|_| keeper.leave(others))
                .map_err(|error| keeper.kept(error))?
            }
        };
        if args.video.no_metadata {
            // What decoding needs, and nothing of the prompt.
            metadata.retain(|key, _| ["width", "height", "fps"].contains(&key.as_str()));
        }
        latents.metadata = metadata;
        let mut video = video(&args.video, settings.width, settings.height, settings.fps)?;
        video.metadata = made_by(&latents.metadata);
        let clip = Clip {
            engine,
            latents,
            target: &target,
            video,
            interrupt,
        };
        clip.write(Some(keeper), progress)
    }
}

/// Samples, from the first step or from where an earlier run came; the run is kept meanwhile, and
/// at the end.
fn sample(
    engine: &Engine,
    settings: &Settings,
    from: Option<&Sample>,
    target: &Target,
    keeper: &mut Keeper,
    interrupt: &Interrupt,
    progress: &mut Progress,
) -> Result<Latents, CliError> {
    let interrupted = || CliError::Interrupted {
        path: target.clip.clone(),
    };
    interrupt.may_cut_off(&keeper.kept(interrupted()));
    let progress = RefCell::new(progress);
    let mut events = |event| progress.borrow_mut().event(&event);
    let mut keep = |sample: &Sample| {
        keeper.keep(Sampled::Part(sample.clone()), &progress.borrow());
        interrupt.may_cut_off(&keeper.kept(interrupted()));
    };
    let cancel = interrupt.cancel();
    let sampled = engine.sample_from(settings, from, cancel, &mut events, &mut keep);
    // The latents are worth waiting for until they are on the disk.
    interrupt.may_not_cut_off();
    let latents = sampled.map_err(|error| match CliError::from(error) {
        e if e.is_interruption() => interrupted(),
        e => e,
    })?;
    keeper.keep(Sampled::All(latents.clone()), &progress.borrow());
    Ok(latents)
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
