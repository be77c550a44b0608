//! The clips of one command, which differ in their seeds alone: everything that can be refused is
//! refused before any of them is made.

use std::collections::BTreeMap;

use super::keeper::Keep;
use super::outputs::{Outputs, Target};
use super::saved::SavedRun;
use super::task::Job;
use crate::error::Error;
use crate::media::VideoOptions;

/// Clips whose locks are held from the start; further ones have theirs when it is their turn.
const HELD: usize = 100;

/// What an application adds to the state of a run: for the seed of the series' first clip, and the
/// clip's files.
pub type Entries<'a> = &'a dyn Fn(u64, &Target) -> BTreeMap<String, String>;

/// The clips of one command, before the model is loaded.
#[derive(Debug)]
pub struct Series {
    clips: Vec<Pending>,
    overwrite: bool,
    several: bool,
    /// Whether some clip has a saved run.
    resuming: bool,
}

#[derive(Debug)]
struct Pending {
    seed: u64,
    target: Target,
    saved: Option<SavedRun>,
}

/// One clip of a series.
#[derive(Debug)]
#[non_exhaustive]
pub struct SeriesClip {
    /// Its run, which continues from a saved one where that is its own.
    pub job: Job,
    /// Its files.
    pub target: Target,
    /// Whether the clip is whole already.
    pub is_made: bool,
    resumed: bool,
}

impl Series {
    /// Names the clips of these seeds, takes their locks and reads what unfinished runs left of them.
    /// `given` takes the place of what lies beside the clip of its seed.
    ///
    /// # Errors
    /// Those of [`Outputs::target`], and a state that is damaged and may not be overwritten.
    pub fn open(
        outputs: &Outputs,
        seeds: impl Iterator<Item = u64>,
        mut given: Option<SavedRun>,
    ) -> Result<Self, Error> {
        let mut clips = Vec::new();
        for seed in seeds {
            let mut target = outputs.target(Some(seed))?;
            let saved = match given.take_if(|saved| saved.seed() == Some(seed)) {
                None => match SavedRun::beside(&target.clip) {
                    // It is replaced.
                    Err(_) if outputs.overwrite => None,
                    saved => saved?,
                },
                given => given,
            };
            if let Some(saved) = &saved {
                target.lock(&saved.path)?;
            }
            if clips.len() >= HELD {
                target.release();
            }
            target.again = saved.is_some();
            clips.push(Pending {
                seed,
                target,
                saved,
            });
        }
        Ok(Self {
            overwrite: outputs.overwrite,
            several: outputs.several,
            resuming: clips.iter().any(|clip| clip.saved.is_some()),
            clips,
        })
    }

    /// Whether some clip has an unfinished run.
    pub fn is_resuming(&self) -> bool {
        self.resuming
    }

    /// Refuses what could not be written: a name, a file that is in the way, a size or rate that the
    /// encoder does not take. Nothing is on the disk yet. Whether a clip that is there is one of
    /// these is seen when the model is open.
    ///
    /// # Errors
    /// As [`Target::check`] and [`Target::sink`].
    pub fn check(&mut self, frames: usize, video: &VideoOptions) -> Result<(), Error> {
        for clip in &mut self.clips {
            if !clip.target.may_be_made(self.resuming, clip.seed) {
                clip.target.check(frames)?;
            }
        }
        if let Some(clip) = self.clips.first() {
            let mut video = video.clone();
            video.overwrite |= clip.target.may_be_made(self.resuming, clip.seed);
            clip.target.sink(video, Box::new(std::io::sink()))?;
        }
        Ok(())
    }

    /// The clips, each with its run. `job` is that of the first seed; `own` is the first seed that
    /// the command would have had without the saved run that lies beside a clip of one name: it
    /// counts where that run is another's.
    ///
    /// # Errors
    /// A saved run that is another's and has steps, a clip that is, where neither may be overwritten.
    pub fn settle(
        self,
        job: &Job,
        own: Option<u64>,
        entries: Entries<'_>,
    ) -> Result<Vec<SeriesClip>, Error> {
        let how = Settle {
            first: job.settings().seed,
            overwrite: self.overwrite,
            several: self.several,
            resuming: self.resuming,
            entries,
        };
        let clips = self.clips.into_iter().map(|pending| {
            let borrowed = pending.saved.is_some();
            let clip = how.clip(job, pending)?;
            match own {
                Some(seed) if borrowed && !clip.resumed => {
                    let (target, saved) = (clip.target, None);
                    let how = Settle { first: seed, ..how };
                    let pending = Pending {
                        seed,
                        target,
                        saved,
                    };
                    how.clip(job, pending)
                }
                _ => Ok(clip),
            }
        });
        clips.collect()
    }
}

/// What the clips have in common.
#[derive(Clone, Copy)]
struct Settle<'a> {
    first: u64,
    overwrite: bool,
    several: bool,
    resuming: bool,
    entries: Entries<'a>,
}

impl Settle<'_> {
    fn clip(&self, job: &Job, pending: Pending) -> Result<SeriesClip, Error> {
        let Pending {
            seed,
            mut target,
            saved,
        } = pending;
        let mut job = job.with_seed(seed);
        let frames = job.settings().frames;
        let is_there = target.may_be_made(self.resuming, seed);
        let is_made = is_there && target.is_whole() && job.is_made(&target.clip);
        if is_there && !is_made && saved.is_none() {
            target.yield_to_other()?;
        }
        let mut keep = Keep::beside(&target.clip);
        keep.entries = (self.entries)(self.first, &target);
        keep.stays = self.several;
        job.keep(keep);
        let mut resumed = false;
        match saved.map(|saved| (job.check(&saved), saved)) {
            Some((Ok(()), saved)) => {
                job.resume(saved)?;
                resumed = true;
            }
            Some((Err(error), saved)) if saved.has_steps() && !self.overwrite => {
                return Err(error);
            }
            Some((Err(_), _)) => {
                // What lies where this run will write is not its own.
                target.again = false;
                if !is_there {
                    target.check(frames)?;
                }
            }
            None => {}
        }
        if is_there && !is_made {
            target.check(frames)?;
        }
        Ok(SeriesClip {
            job,
            target,
            is_made,
            resumed,
        })
    }
}
