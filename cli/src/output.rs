//! Where results go: the files of clips as options name them, and the two streams.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};

use kinora::job::Outputs;

use crate::args::{GenerateArgs, ReportArgs};
use crate::error::CliError;

/// The output that is standard output.
const STREAM: &str = "-";

/// Where the clips of a prompt go.
pub(crate) fn outputs(args: &GenerateArgs, prompt: &str) -> Result<Outputs, CliError> {
    let mut outputs = Outputs::of_prompt(prompt);
    outputs.latents = args.save_latents.clone();
    outputs.frames = args.frames_dir.clone();
    outputs.overwrite = args.video.force;
    outputs.several = args.sampling.count > 1 || args.prompts.is_some();
    aim(&mut outputs, args.output.as_deref())?;
    check_json(&args.report, &outputs)?;
    Ok(outputs)
}

/// Takes `-o`.
pub(crate) fn aim(outputs: &mut Outputs, output: Option<&Path>) -> Result<(), CliError> {
    match output {
        Some(path) if path == Path::new(STREAM) => {
            if outputs.several {
                return Err(CliError::SeveralToStream);
            }
            if io::stdout().is_terminal() {
                return Err(CliError::Terminal);
            }
            outputs.stream = Some("standard output".into());
        }
        output => outputs.clip = output.map(Path::to_owned),
    }
    Ok(())
}

/// Refuses JSON where the clip goes to standard output.
pub(crate) fn check_json(report: &ReportArgs, outputs: &Outputs) -> Result<(), CliError> {
    match report.json && outputs.stream.is_some() {
        true => Err(CliError::JsonToStream),
        false => Ok(()),
    }
}

/// The `-o` that makes the same names once more.
pub(crate) fn again(outputs: &Outputs, target: &kinora::job::Target) -> PathBuf {
    match outputs.stream {
        Some(_) => STREAM.into(),
        None => outputs.again(target),
    }
}

/// Writes to standard output. A reader that has left wants no more, which is no error.
pub(crate) fn print(bytes: &[u8]) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(source) if source.kind() != ErrorKind::BrokenPipe => Err(CliError::Print { source }),
        _ => Ok(()),
    }
}

/// Says on standard error why the command ends.
pub(crate) fn complain(error: &CliError) {
    let prefix = if error.is_interruption() {
        ""
    } else {
        "error: "
    };
    // Nobody is left to be told where this fails.
    let _ = writeln!(io::stderr().lock(), "{prefix}{error}");
}
