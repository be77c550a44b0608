//! `kinora resume`: the command that a run was started with, once more, from where it was left.

use std::env;
use std::path::{Path, PathBuf};

use kinora::SavedRun;
use kinora::job::state_path;
use kinora::request::Seed;

use crate::args::{GenerateArgs, ResumeArgs, generate_again};
use crate::error::CliError;
use crate::generate;
use crate::unfinished::{Origin, first_seed, output_of};

/// Goes on with a run that was not finished.
pub(crate) fn run(args: &ResumeArgs, quiet: bool) -> Result<(), CliError> {
    let mut found = SavedRun::read(chosen(args.file.as_deref())?)?;
    let (mut generate, origin) = again(&found)?;
    let here = env::current_dir().map_err(|source| CliError::Folder {
        folder: ".".into(),
        source,
    })?;
    let absolute = |path: &Path| here.join(path);
    if here != origin.folder {
        found.path = absolute(&found.path);
    }
    if here != origin.folder {
        // Paths were typed there.
        env::set_current_dir(&origin.folder).map_err(|source| CliError::Folder {
            folder: origin.folder.clone(),
            source,
        })?;
        generate.output = generate.output.map(|path| origin.folder.join(path));
    }
    if let Some(path) = &args.output {
        let path = match here == origin.folder {
            true => path.clone(),
            false => absolute(path),
        };
        generate.output = Some(path);
        generate.sampling.seed = found.seed().map(Seed::Given);
        generate.sampling.count = 1;
    }
    generate.model.take_from(&args.model, &absolute);
    if args.device.is_some() {
        generate.device.device = args.device.clone();
    }
    if args.memory.memory.is_some() {
        generate.memory.memory = args.memory.memory;
    }
    generate.video.force |= args.force;
    generate.profile |= args.profile;
    // Fields of a file of prompts are in that file: the whole command goes on.
    let found = generate.prompts.is_none().then_some(found);
    generate::run_from(&generate, quiet, Some(&origin), found)
}

/// The state that is meant: one by name, by its clip's name, or the only one here.
fn chosen(file: Option<&Path>) -> Result<PathBuf, CliError> {
    let Some(file) = file else {
        let mut all = SavedRun::in_folder(Path::new("."), "");
        // Those that go on by themselves are not meant.
        let idle = |state: &PathBuf| !SavedRun::is_busy(state);
        if all.iter().any(idle) {
            all.retain(idle);
        }
        return match (all.pop(), all.as_slice()) {
            (Some(one), []) => Ok(one),
            (None, _) => Err(CliError::NothingToResume),
            (Some(last), _) => {
                all.push(last);
                let names: Vec<String> = all.iter().map(|p| p.display().to_string()).collect();
                Err(CliError::SeveralToResume {
                    names: names.join(", "),
                })
            }
        };
    };
    // The state's own name stays as it is.
    SavedRun::path_for(file).ok_or_else(|| CliError::NoState {
        path: state_path(file),
    })
}

/// The command of a run, with what it left open decided as it was.
fn again(found: &SavedRun) -> Result<(GenerateArgs, Origin), CliError> {
    let unknown = || CliError::UnknownCommand {
        path: found.path.clone(),
    };
    let origin = Origin::of(found).ok_or_else(unknown)?;
    let mut args = generate_again(&origin.arguments).ok_or_else(unknown)?;
    args.prompt = found.entry("prompt").map(str::to_owned);
    args.sampling.seed = first_seed(found).map(Seed::Given);
    args.output = output_of(found).or(args.output);
    Ok((args, origin))
}
