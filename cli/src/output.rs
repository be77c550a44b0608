//! Where results go: their names, checked before any work, and the two streams.

use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use kinora::error::MediaError;
use kinora::media::{check_output, check_place, frame_path};

use crate::args::GenerateArgs;
use crate::error::CliError;

/// Letters of the prompt in a clip's name, at most.
const NAME_LENGTH: usize = 48;

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
                with_seed(path, seed)
            } else {
                path.to_owned()
            }
        };
        let overwrite = args.video.force;
        Self {
            clip: match &args.output {
                Some(path) => numbered(path),
                None => free(
                    Path::new(&format!("{}-{seed}.mp4", name_of(prompt))),
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
            check_frames(folder, self.overwrite || self.again)?;
        }
        Ok(())
    }
}

/// The folder need not exist yet, and is not made before there are frames.
fn check_frames(folder: &Path, overwrite: bool) -> Result<(), MediaError> {
    let first = frame_path(folder, 0);
    if folder.exists() {
        return check_place(&first, overwrite);
    }
    let above = folder
        .ancestors()
        .skip(1)
        .find(|above| above.as_os_str().is_empty() || above.exists());
    match above {
        Some(above) => check_place(&above.join(".kinora-frames"), true),
        None => Ok(()),
    }
}

/// The words of a prompt as the name of a file.
pub(crate) fn name_of(prompt: &str) -> String {
    let mut name = String::new();
    for word in prompt
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
    {
        let word = word.to_lowercase();
        let room = NAME_LENGTH.saturating_sub(name.len() + usize::from(!name.is_empty()));
        if word.len() > room {
            if name.is_empty() {
                // One word without end: its beginning, in whole letters.
                name.extend(
                    word.char_indices()
                        .take_while(|(at, c)| at + c.len_utf8() <= room)
                        .map(|(_, c)| c),
                );
            }
            break;
        }
        if !name.is_empty() {
            name.push('-');
        }
        name.push_str(&word);
    }
    if name.is_empty() {
        "clip".to_owned()
    } else {
        name
    }
}

/// `boat.mp4` becomes `boat-7.mp4`.
fn with_seed(path: &Path, seed: u64) -> PathBuf {
    with_ending(path, &seed.to_string())
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push("-");
    name.push(ending);
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// A name that nobody asked for makes way for a file that exists: `boat-7-2.mp4`.
pub(crate) fn free(path: &Path, overwrite: bool) -> PathBuf {
    let taken = |path: &Path| !overwrite && path.symlink_metadata().is_ok();
    if !taken(path) {
        return path.to_owned();
    }
    let next = (2..10_000)
        .map(|n| with_ending(path, &n.to_string()))
        .find(|path| !taken(path));
    next.unwrap_or_else(|| path.to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_of_the_prompts_words() {
        assert_eq!(name_of("A red kite, gliding!"), "a-red-kite-gliding");
        assert_eq!(name_of("../../etc/passwd"), "etc-passwd");
        assert_eq!(name_of("?!"), "clip");
        assert_eq!(name_of("Möwenflug über 海"), "möwenflug-über-海");
        let long = name_of(&"very ".repeat(40));
        assert!(long.len() <= NAME_LENGTH && long.ends_with("very"));
        assert_eq!(name_of(&"海".repeat(40)), "海".repeat(16));
    }

    #[test]
    fn several_clips_bear_their_seeds() {
        assert_eq!(
            with_seed(Path::new("a/boat.v2.mp4"), 7),
            Path::new("a/boat.v2-7.mp4")
        );
        assert_eq!(
            with_seed(Path::new("boat.safetensors"), 7),
            Path::new("boat-7.safetensors")
        );
    }

    #[test]
    fn a_name_nobody_asked_for_makes_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("boat-7.mp4");
        assert_eq!(free(&path, false), path);
        std::fs::write(&path, "").unwrap();
        assert_eq!(free(&path, false), folder.path().join("boat-7-2.mp4"));
        assert_eq!(free(&path, true), path);
    }

    #[test]
    fn frames_go_into_a_folder_that_need_not_exist() {
        let folder = tempfile::tempdir().unwrap();
        let new = folder.path().join("a/b");
        check_frames(&new, false).unwrap();
        assert!(!folder.path().join("a").exists());
        std::fs::create_dir_all(&new).unwrap();
        std::fs::write(new.join("00000.png"), "").unwrap();
        assert!(matches!(
            check_frames(&new, false),
            Err(MediaError::Exists { .. })
        ));
        check_frames(&new, true).unwrap();
        assert!(check_frames(&new.join("00000.png/x"), true).is_err());
    }
}
