//! The files of a clip: named, checked and locked before any work.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::lock::RunLock;
use super::names::{name_of_prompt, name_with_seed, ways};
use super::saved::{SavedRun, state_path};
use super::sink::{Both, ClipSink, Mp4Sink, OnThread, PngSink, StillSink};
use crate::error::{Error, MediaError};
use crate::media::{
    VideoOptions, check_frame_folder, check_name, check_output, check_place, read_metadata,
};
use crate::staged::folder_of;

/// The sinks of a clip: its file and, where they are asked for, its frames.
pub type TargetSink = OnThread<Both<ClipSink, PngSink>>;

/// Where the clips of one command go.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Outputs {
    /// The clip: an MP4, a PNG for a single frame, or a folder, in which it gets the name that it
    /// has without this.
    pub clip: Option<PathBuf>,
    /// The name of a clip that nobody named, such as `a-red-kite.mp4`; it makes way for files that
    /// exist.
    pub name: PathBuf,
    /// Where the latents go.
    pub latents: Option<PathBuf>,
    /// The folder that the frames go into, as pictures.
    pub frames: Option<PathBuf>,
    /// What messages call the stream that the clip goes to; only the run's state is then a file.
    pub stream: Option<PathBuf>,
    /// Whether there are several clips; their names bear their seeds.
    pub several: bool,
    /// Whether files that exist are replaced.
    pub overwrite: bool,
}

impl Outputs {
    /// The clips of a prompt.
    pub fn of_prompt(prompt: &str) -> Self {
        Self {
            name: format!("{}.mp4", name_of_prompt(prompt)).into(),
            ..Self::default()
        }
    }

    /// Whether the clip is named like the prompt.
    fn is_automatic(&self) -> bool {
        self.clip.as_deref().is_none_or(is_folder)
    }

    /// The clip's name before it bears a seed or makes way.
    fn base(&self) -> PathBuf {
        match &self.clip {
            None => self.name.clone(),
            Some(folder) if is_folder(folder) => folder.join(&self.name),
            Some(path) => path.clone(),
        }
    }

    /// The output that gives `target` its name once more, and its command's other clips theirs.
    pub fn again(&self, target: &Target) -> PathBuf {
        match self.is_automatic() && !self.several {
            true => target.clip.clone(),
            false => self.base(),
        }
    }

    /// States of runs that may be these, where the seed is open.
    pub fn states(&self) -> Vec<PathBuf> {
        let base = self.base();
        if !self.is_automatic() && !self.several {
            return SavedRun::path_for(&base).into_iter().collect();
        }
        let Some(stem) = base.file_stem().and_then(|stem| stem.to_str()) else {
            return Vec::new();
        };
        let mut states = SavedRun::in_folder(folder_of(&base), &format!("{stem}-"));
        states.retain(|state| !SavedRun::is_busy(state));
        states
    }

    /// Whether a state is kept under the clip's own name, whoever's it is.
    pub fn is_named(&self) -> bool {
        !self.is_automatic() && !self.several
    }

    /// The files of the clip with this seed. Until it is dropped no other run has them.
    ///
    /// # Errors
    /// [`StateError::Busy`](crate::error::StateError::Busy) while another run writes the clip;
    /// a folder that cannot be made.
    pub fn target(&self, seed: Option<u64>) -> Result<Target, Error> {
        let of_seed = |path: &Path| match seed {
            Some(seed) => name_with_seed(path, seed),
            None => path.to_owned(),
        };
        let numbered = |path: &PathBuf| match self.several {
            true => of_seed(path),
            false => path.clone(),
        };
        let folder = self.clip.as_deref().filter(|clip| is_folder(clip));
        let mut target = Target {
            clip: self.base(),
            latents: self.latents.as_ref().map(numbered),
            frames: match (&self.frames, seed) {
                (Some(folder), Some(seed)) if self.several => Some(folder.join(seed.to_string())),
                (folder, _) => folder.clone(),
            },
            overwrite: self.overwrite,
            again: false,
            stream: self.stream.clone(),
            kept: self.several && !self.overwrite,
            automatic: self.is_automatic(),
            _made: folder.map(MadeFolder::new).transpose()?.flatten(),
            locks: Vec::new(),
        };
        if target.automatic {
            target.clip = of_seed(&target.clip);
            target.make_way(seed)?;
        } else {
            target.clip = numbered(&target.clip);
            check_name(&target.clip)?;
            check_name(&state_path(&target.clip))?;
            target.hold()?;
        }
        Ok(target)
    }
}

/// The files of one clip, which are this run's until this is dropped.
#[derive(Debug)]
pub struct Target {
    /// The clip. One that goes to a stream has a name for its state alone.
    pub clip: PathBuf,
    /// The latents.
    pub latents: Option<PathBuf>,
    /// The folder for the frames.
    pub frames: Option<PathBuf>,
    /// Whether files that exist are replaced.
    pub overwrite: bool,
    /// Whether an earlier run may have written latents and frames already.
    pub again: bool,
    /// What messages call the stream that the clip goes to.
    pub stream: Option<PathBuf>,
    /// Whether a clip that is there stays, where it is the one to be made.
    kept: bool,
    /// Whether nobody chose the name.
    automatic: bool,
    locks: Vec<RunLock>,
    /// Behind the locks: their files lie in it.
    _made: Option<MadeFolder>,
}

impl Target {
    /// What the clip is called in messages.
    pub fn name(&self) -> &Path {
        self.stream.as_deref().unwrap_or(&self.clip)
    }

    /// Whether a clip is there that may be the one to be made: that of this seed where `resuming` or
    /// one of several.
    pub fn may_be_made(&self, resuming: bool, seed: u64) -> bool {
        self.stream.is_none()
            && self.clip.is_file()
            && (resuming || self.kept && has_seed(&self.clip, Some(seed)))
    }

    /// Whether the clip's other files are there, too.
    pub fn is_whole(&self) -> bool {
        let there = |path: &Option<PathBuf>| path.as_ref().is_none_or(|path| path.exists());
        there(&self.latents) && there(&self.frames)
    }

    /// Takes the lock of a state for this run, unless it has it.
    ///
    /// # Errors
    /// [`StateError::Busy`](crate::error::StateError::Busy).
    pub fn lock(&mut self, state: &Path) -> Result<(), Error> {
        if !self.locks.iter().any(|lock| lock.is_of(state)) {
            self.locks.push(RunLock::take(state)?);
        }
        Ok(())
    }

    /// Keeps the clip's lock from here on, if [`release`](Self::release) gave it away.
    ///
    /// # Errors
    /// As [`lock`](Self::lock).
    pub fn hold(&mut self) -> Result<(), Error> {
        self.lock(&state_path(&self.clip))
    }

    /// Gives the locks away, for one of so many clips that not all can be held open.
    pub fn release(&mut self) {
        self.locks.clear();
    }

    /// Refuses, before any work, what could not be written after it. A clip that is there and has
    /// another name by itself makes way.
    ///
    /// # Errors
    /// A name, a folder or a file that is in the way.
    pub fn check(&mut self, frames: usize) -> Result<(), Error> {
        let is_still = is_still(&self.clip);
        if is_still && frames > 1 {
            let path = self.clip.clone();
            return Err(MediaError::Still { path, frames }.into());
        }
        match self.stream {
            Some(_) => {}
            None if is_still => check_place(&self.clip, self.overwrite)?,
            None => check_output(&self.clip, self.overwrite)?,
        }
        check_name(&state_path(&self.clip))?;
        if let Some(path) = &self.latents {
            if !has_extension(path, "safetensors") {
                let path = path.clone();
                return Err(MediaError::LatentsExtension { path }.into());
            }
            check_place(path, self.overwrite || self.again)?;
        }
        if let Some(folder) = &self.frames {
            check_frame_folder(folder, self.overwrite || self.again)?;
        }
        Ok(())
    }

    /// Where the clip's frames go; `stream` is used where the clip goes to one.
    ///
    /// # Errors
    /// As [`Mp4Sink::new`].
    pub fn sink(
        &self,
        video: VideoOptions,
        stream: Box<dyn Write + Send>,
    ) -> Result<TargetSink, Error> {
        let clip = if self.stream.is_some() {
            ClipSink::Video(Mp4Sink::stream(self.name(), video, stream)?.into())
        } else if is_still(&self.clip) {
            ClipSink::Still(StillSink::new(&self.clip, video)?)
        } else {
            ClipSink::Video(Mp4Sink::new(&self.clip, video)?.into())
        };
        let frames = |folder| PngSink::new(folder, self.overwrite || self.again);
        Ok(OnThread::new(Both(clip, self.frames.as_ref().map(frames))))
    }

    /// Lets a name that nobody chose make way for files that are there and for other runs; a clip
    /// of this seed stays, where it may be the one to be made.
    fn make_way(&mut self, seed: Option<u64>) -> Result<(), Error> {
        let (overwrite, kept) = (self.overwrite, self.kept && seed.is_some());
        let is_free = |clip: &Path| {
            overwrite || clip.symlink_metadata().is_err() || kept && has_seed(clip, seed)
        };
        let mut busy = None;
        for clip in ways(&self.clip.clone()) {
            if !is_free(&clip) {
                continue;
            }
            match RunLock::take(&state_path(&clip)) {
                // It may have become whole a moment ago.
                Ok(lock) if is_free(&clip) => {
                    self.clip = clip;
                    self.locks = vec![lock];
                    return Ok(());
                }
                Ok(_) => {}
                Err(error) => busy = Some(error),
            }
        }
        busy.map_or(Ok(()), Err)
    }

    /// The clip that is there turned out to be another: a name that nobody chose makes way for it.
    ///
    /// # Errors
    /// As [`Outputs::target`].
    pub fn yield_to_other(&mut self) -> Result<(), Error> {
        self.kept = false;
        match self.automatic && !self.overwrite {
            true => self.make_way(None),
            false => Ok(()),
        }
    }
}

/// A folder that a run made for its clip; gone with the run where nothing came into it.
#[derive(Debug)]
struct MadeFolder(PathBuf);

impl MadeFolder {
    /// Makes the folder where it is missing; the folder that it lies in has to be there.
    fn new(folder: &Path) -> Result<Option<Self>, Error> {
        if folder.exists() {
            return Ok(None);
        }
        // The clip's own check says what is wrong where it cannot be made.
        let made = fs::create_dir(folder);
        Ok(made.ok().map(|()| Self(folder.to_owned())))
    }
}

impl Drop for MadeFolder {
    fn drop(&mut self) {
        // It stays where it holds anything.
        let _ = fs::remove_dir(&self.0);
    }
}

/// Whether an output is a folder: one that is there, or one by the separator that it ends in.
pub fn is_folder(output: &Path) -> bool {
    let bytes = output.as_os_str().as_encoded_bytes();
    let ends = bytes
        .last()
        .is_some_and(|&end| std::path::is_separator(end.into()));
    ends || output.is_dir()
}

fn has_extension(path: &Path, wanted: &str) -> bool {
    path.extension()
        .is_some_and(|e| e.eq_ignore_ascii_case(wanted))
}

/// Whether a clip of this name is a picture.
pub(super) fn is_still(clip: &Path) -> bool {
    has_extension(clip, "png")
}

/// Whether a clip on the disk says that this seed made it.
fn has_seed(clip: &Path, seed: Option<u64>) -> bool {
    let Some(seed) = seed.map(|seed| seed.to_string()) else {
        return false;
    };
    let found = read_metadata(clip).unwrap_or_default();
    found
        .iter()
        .any(|(key, value)| key == "seed" && *value == seed)
}
