//! Where results go: their names, checked before any work, and the two streams.

use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use kinora::media::{check_frame_folder, check_output, check_place};

use kinora::job::{free_name, name_of_prompt, name_with_seed};

use crate::args::GenerateArgs;
use crate::error::CliError;

/// The files of one clip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The MP4.
    pub clip: PathBuf,
    /// `--save-latents`
    pub latents: Option<PathBuf>,
    /// `--frames-dir`
    pub frames: Option<PathBuf>,
    /// `--force`
    pub overwrite: bool,
    /// Whether an earlier run may have written latents and frames already.
    pub again: bool,
}

impl Target {
    /// The files of the clip with this seed. Several clips of one command bear their seeds.
    pub(crate) fn new(args: &GenerateArgs, prompt: &str, seed: u64) -> Self {
        let several = args.sampling.count > 1;
        let numbered = |path: &Path| {
            if several {
                name_with_seed(path, seed)
            } else {
                path.to_owned()
            }
        };
        let overwrite = args.video.force;
        Self {
            clip: match &args.output {
                Some(path) => numbered(path),
                None => free_name(
                    Path::new(&format!("{}-{seed}.mp4", name_of_prompt(prompt))),
                    overwrite,
                ),
            },
            latents: args.save_latents.as_deref().map(numbered),
            frames: args.frames_dir.as_ref().map(|folder| match several {
                true => folder.join(seed.to_string()),
                false => folder.clone(),
            }),
            overwrite,
            again: false,
        }
    }

    /// Refuses, before any work, what could not be written after it.
    pub(crate) fn check(&self) -> Result<(), CliError> {
        check_output(&self.clip, self.overwrite)?;
        if let Some(path) = &self.latents {
            if !path
                .extension()
                .is_some_and(|e| e.eq_ignore_ascii_case("safetensors"))
            {
                return Err(CliError::LatentsExtension { path: path.clone() });
            }
            check_place(path, self.overwrite || self.again)?;
        }
        if let Some(folder) = &self.frames {
            check_frame_folder(folder, self.overwrite || self.again)?;
        }
        Ok(())
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
