//! `kinora`: a prompt becomes an MP4. Arguments, progress and files; the arithmetic is the engine's.

mod args;
mod bench;
mod clip;
mod completions;
mod convert;
mod decode;
mod environment;
mod error;
mod generate;
mod info;
mod interrupt;
mod model;
mod output;
mod plan;
mod preview;
mod progress;
mod pull;
mod resume;
mod shaders;
mod show;
mod starter;
mod unfinished;
mod words;

use std::process::ExitCode;

use args::{Cli, Command};
use error::CliError;

fn main() -> ExitCode {
    kinora::keep_caught_panics_quiet();
    match run(Cli::of_program()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&error);
            error.exit_code()
        }
    }
}

/// Runs the command.
fn run(Cli { command, quiet }: Cli) -> Result<(), CliError> {
    match command {
        Command::Generate(args) => generate::run(&args, quiet),
        Command::Resume(args) => resume::run(&args, quiet),
        Command::Decode(args) => decode::run(&args, quiet),
        Command::Convert(args) => convert::run(&args, quiet),
        Command::Plan(args) => plan::run(&args, quiet),
        Command::Pull(args) => pull::run(&args, quiet),
        Command::Show(args) => show::run(&args),
        Command::Info(args) => info::run(&args),
        Command::Bench(args) => bench::run(&args, quiet),
        Command::Shaders(args) => shaders::run(&args),
        Command::Completions(args) => completions::run(args.shell),
    }
}
