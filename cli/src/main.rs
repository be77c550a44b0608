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

use clap::Parser;

fn main() -> ExitCode {
    kinora::keep_caught_panics_quiet();
    match args::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&error);
            error.exit_code()
        }
    }
}
