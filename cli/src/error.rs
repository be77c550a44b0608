//! Everything that ends a command early, and the exit code it ends with.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use kinora::error::{GpuError, MediaError, WeightsError};
use kinora::{Error, ErrorKind};
use kinora_hub::HubError;

use crate::words::sentence;

/// Exit code of a run that failed.
const FAILED: u8 = 1;
/// Exit code of something asked for that cannot be.
const REFUSED: u8 = 2;
/// Exit code of an interrupted run: 128 + SIGINT.
pub(crate) const INTERRUPTED: u8 = 130;

/// Why a command ends early. Its `Display` is one sentence.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    #[error("{}", sentence(.0))]
    Engine(#[from] Error),
    #[error("{source}{}", advice(source))]
    Hub {
        #[from]
        source: HubError,
    },
    #[error("KINORA_BACKEND: {source}")]
    Backend { source: GpuError },
    #[error(
        "no prompt: say what the clip shows, in quotes, or give - to read it from standard input"
    )]
    NoPrompt,
    #[error("the prompt is empty: say what the clip shows")]
    EmptyPrompt,
    #[error(
        "the prompt on standard input has more than {limit} bytes: the model reads 512 tokens of it"
    )]
    LongPrompt { limit: usize },
    #[error("the prompt cannot be read from standard input: {source}")]
    ReadPrompt { source: io::Error },
    #[error(
        "--decoder tiny: there is no {name}.safetensors or {name}.pth in the model's folder: download it (github.com/madebyollin/taehv) and name it with --tiny-decoder"
    )]
    NoTinyDecoder { name: &'static str },
    #[error("--tiny-decoder is given with another --decoder: leave one of them out")]
    OtherDecoder,
    #[error("cannot write {}: a preview is a picture in PNG, so the name has to end in .png", path.display())]
    PreviewExtension { path: PathBuf },
    #[error(
        "-o - writes the clip to standard output, which takes one: leave --count out, or give -o FILE.mp4"
    )]
    SeveralToStream,
    /// Both want standard output.
    #[error(
        "--json and -o - both write to standard output: name a file with -o, or leave --json out"
    )]
    JsonToStream,
    #[error(
        "-o - writes the clip to standard output, which is a terminal: redirect it, or give -o FILE.mp4"
    )]
    Terminal,
    #[error("{}: the metadata's {key} is {found:?}, expected {expected}; choose it with an option or decode latents of another file", path.display())]
    LatentsMetadata {
        path: PathBuf,
        key: &'static str,
        found: String,
        expected: &'static str,
    },
    #[error("{} does not exist: no unfinished run is kept there", path.display())]
    NoState { path: PathBuf },
    #[error("no unfinished run is kept in this folder: name its clip or its .kinora-state")]
    NothingToResume,
    #[error("several unfinished runs are kept in this folder: name one of {names}")]
    SeveralToResume { names: String },
    #[error("{} does not say how its run was started: give the command again that started it", path.display())]
    UnknownCommand { path: PathBuf },
    #[error("the run was started in {}, which cannot be entered: {source}", folder.display())]
    Folder { folder: PathBuf, source: io::Error },
    #[error("{} does not say what made it: it was written with --no-metadata, re-muxed or uploaded by a program that drops metadata, or not by Kinora", path.display())]
    NoMetadata { path: PathBuf },
    #[error("nothing was downloaded")]
    Declined,
    #[error("no bench is called {name}; 'kinora bench --list' names them")]
    UnknownBench { name: String },
    #[error("interrupted")]
    BenchInterrupted,
    #[error("no kernel is called {name}; there are {known}")]
    UnknownKernel { name: String, known: String },
    #[error("{kernel} has no slot {slot}; it has {known}")]
    UnknownSlot {
        kernel: String,
        slot: String,
        known: String,
    },
    #[error("no module {module} fits the slot {slot}; there are {known}")]
    UnknownModule {
        slot: String,
        module: String,
        known: String,
    },
    #[error("cannot write to standard output: {source}")]
    Print { source: io::Error },
    #[error("interrupts cannot be caught: {reason}")]
    Signals { reason: String },
    #[error("-o names a file, and --prompts makes a clip for each prompt: name a folder")]
    PromptsOutput,
    #[error("interrupted: {} was not written", path.display())]
    Interrupted { path: PathBuf },
    #[error("{source}\n{kept}")]
    Kept { source: Box<CliError>, kept: String },
}

/// Engine errors by module, for `?` on the results of the engine's own modules.
macro_rules! from_engine {
    ($($module:ident),*) => {$(
        impl From<kinora::error::$module> for CliError {
            fn from(error: kinora::error::$module) -> Self {
                Self::Engine(error.into())
            }
        }
    )*};
}
from_engine!(
    ConfigError,
    GpuError,
    MediaError,
    RequestError,
    ShaderError,
    WeightsError
);

impl CliError {
    /// Whether a person or the system asked the run to stop.
    pub(crate) fn is_interruption(&self) -> bool {
        match self {
            Self::Interrupted { .. }
            | Self::BenchInterrupted
            | Self::Hub {
                source: HubError::Interrupted,
            }
            | Self::Engine(Error::Cancelled) => true,
            Self::Kept { source, .. } => source.is_interruption(),
            _ => false,
        }
    }

    /// 2 where something asked for cannot be, 130 after an interruption, 1 for the rest.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }

    fn code(&self) -> u8 {
        match self {
            _ if self.is_interruption() => INTERRUPTED,
            Self::Kept { source, .. } => source.code(),
            Self::Print { .. } | Self::Signals { .. } => FAILED,
            Self::Hub {
                source: HubError::Network { .. } | HubError::Busy { .. },
            } => FAILED,
            Self::Engine(error) => match (error, error.kind()) {
                (Error::Gpu(GpuError::UnknownDevice { .. }) | Error::Request(_), _) => REFUSED,
                (Error::Gpu(_) | Error::Weights(WeightsError::Write { .. }), _) => FAILED,
                // A full disk, a failing encoder, a kernel that does not compile.
                (Error::Media(MediaError::DiskFull { .. } | MediaError::Write { .. }), _) => FAILED,
                (_, ErrorKind::Internal) => FAILED,
                _ => REFUSED,
            },
            _ => REFUSED,
        }
    }
}

/// Which command does what the hub client asks for, as its sentence goes on.
fn advice(error: &HubError) -> String {
    match error {
        HubError::NotHere { repo, .. } => format!(" with 'kinora pull {repo}'"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_tells_what_was_asked_from_what_failed() {
        let gpu = |e: GpuError| CliError::from(e).code();
        assert_eq!(gpu(GpuError::NoDevice), 1);
        assert_eq!(
            gpu(GpuError::UnknownDevice {
                wanted: "x".into(),
                found: "none".into()
            }),
            2
        );
        assert_eq!(gpu(GpuError::Cancelled), 130);
        assert_eq!(CliError::EmptyPrompt.code(), 2);
        let full = CliError::from(MediaError::DiskFull {
            path: "a.mp4".into(),
        });
        assert_eq!(
            CliError::Kept {
                source: Box::new(full),
                kept: String::new()
            }
            .code(),
            1
        );
    }
}
