//! One clip to be made.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::decoding::HalfRun;
use super::device::{Half, MemoryTaken};
use super::engine::Engine;
use super::keeper::{Keep, Keeper};
use super::metadata::Metadata;
use super::saved::{DEVICE, SavedRun, is_made};
use super::sink::{ClipInfo, Sink};
use crate::cancel::Cancel;
use crate::error::Error;
use crate::gpu::Gpu;
use crate::media::VideoOptions;
use crate::pipeline::{Event, MemoryPlan, Observer, Prepared, Start, denoise};
use crate::request::{Note, Settings};
use crate::weights::{Latents, RunProgress, SolverState};

/// A prepared run of one clip.
///
/// ```no_run
/// use kinora::{Cancel, Engine, Event, Gpu, GpuOptions, Keep, ModelFolder, Mp4Sink, Request, SavedRun};
///
/// let gpu = Gpu::open(&GpuOptions::default())?;
/// let engine = Engine::new(gpu, ModelFolder::open("Wan2.1-T2V-1.3B-Diffusers")?)?;
/// let mut job = engine.prepare(&Request::new("a red kite over a quiet harbour at dawn"))?;
/// println!("{}", job.plan());
/// let clip = std::path::Path::new("kite.mp4");
/// job.keep(Keep::beside(clip));
/// if let Some(saved) = SavedRun::beside(clip)? {
///     job.resume(saved)?;
/// }
/// let mut sink = Mp4Sink::new(clip, job.video()?)?;
/// let mut observer = |event| {
///     if let Event::Progress { stage, done, total } = event {
///         println!("{stage}: {done} of {total}");
///     }
/// };
/// job.run(&mut sink, &mut observer, &Cancel::new())?;
/// # Ok::<(), kinora::Error>(())
/// ```
#[derive(Debug)]
pub struct Job {
    engine: Engine,
    prepared: Arc<Prepared>,
    settings: Settings,
    metadata: Metadata,
    progress: RunProgress,
    keeper: Option<(Keeper, bool)>,
    /// The device or version that the resumed state began on, if it is not this one.
    began: Option<String>,
    taken: Option<MemoryTaken>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// The latents that were decoded, with what made them.
    pub latents: Latents,
    /// What the run took on the device.
    pub memory: Option<MemoryTaken>,
}

impl Job {
    pub(super) fn new(engine: Engine, prepared: Arc<Prepared>) -> Result<Self, Error> {
        let settings = prepared.settings().clone();
        Ok(Self {
            metadata: Metadata::of(&engine, &prepared, &settings)?,
            engine,
            prepared,
            settings,
            progress: RunProgress::Nothing,
            keeper: None,
            began: None,
            taken: None,
        })
    }

    /// The same run with another seed. Both share the prepared part of the work.
    #[must_use]
    pub fn with_seed(&self, seed: u64) -> Self {
        let mut metadata = self.metadata.clone();
        metadata.0.insert("seed".to_owned(), seed.to_string());
        Self {
            engine: self.engine.clone(),
            prepared: self.prepared.clone(),
            settings: self.settings.with_seed(seed),
            metadata,
            progress: RunProgress::Nothing,
            keeper: None,
            began: None,
            taken: None,
        }
    }

    /// The choices of the run.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How the run differs from the request.
    pub fn notes(&self) -> &[Note] {
        self.prepared.notes()
    }

    /// What the run takes on the device.
    pub fn plan(&self) -> &MemoryPlan {
        self.prepared.plan()
    }

    /// Everything decided about the run.
    pub fn prepared(&self) -> &Prepared {
        &self.prepared
    }

    /// The metadata from which the clip can be made again.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Adds entries of the application, under the keys of [`FIELDS`](crate::request::FIELDS).
    pub fn add_metadata(&mut self, entries: impl IntoIterator<Item = (String, String)>) {
        self.metadata.0.extend(entries);
    }

    /// Options of the clip's MP4: size, rate and metadata.
    ///
    /// # Errors
    /// A frame rate that no MP4 can have.
    pub fn video(&self) -> Result<VideoOptions, Error> {
        let (width, height) = (self.settings.width, self.settings.height);
        Ok(VideoOptions {
            metadata: self.metadata.entries(),
            ..VideoOptions::sized([width, height], self.settings.fps)?
        })
    }

    /// Keeps the run's state on the disk from here on.
    pub fn keep(&mut self, keep: Keep) {
        let mut metadata = self.metadata.0.clone();
        let gpu = self.engine.gpu();
        let caps = gpu.caps();
        let device = format!("{}, {}, {}", caps.name, caps.driver, caps.backend);
        metadata.insert(DEVICE.to_owned(), device);
        metadata.extend(keep.entries);
        self.keeper = Some((Keeper::new(&keep.path, metadata), keep.stays));
    }

    /// The metadata of the job's saved state.
    fn state_metadata(&self) -> &BTreeMap<String, String> {
        match &self.keeper {
            Some((keeper, _)) => &keeper.metadata,
            None => &self.metadata.0,
        }
    }

    /// Whether a saved run is this one.
    ///
    /// # Errors
    /// [`StateError::OtherRun`](crate::error::StateError::OtherRun) or
    /// [`OtherModel`](crate::error::StateError::OtherModel) with what differs.
    pub fn check(&self, saved: &SavedRun) -> Result<(), Error> {
        saved.check(self.state_metadata())
    }

    /// Continues from a saved run: on the same device the clip is the same, bit for bit, as without
    /// a break.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn resume(&mut self, saved: SavedRun) -> Result<(), Error> {
        self.check(&saved)?;
        self.began = saved.break_note(self.state_metadata());
        if let Some((keeper, _)) = &mut self.keeper {
            keeper.found(&saved);
        }
        self.progress = saved.state.progress;
        Ok(())
    }

    /// Continues from a state in memory, such as one of [`Event::Checkpoint`].
    pub fn resume_from(&mut self, state: SolverState) {
        self.progress = RunProgress::Steps(state);
    }

    /// Whether a clip on the disk is the one that this run makes.
    pub fn is_made(&self, clip: &Path) -> bool {
        is_made(clip, &self.metadata)
    }

    /// Where the run's state lies, and whether steps would be lost with it.
    pub fn kept(&self) -> Option<(&Path, bool)> {
        self.keeper.as_ref()?.0.kept()
    }

    /// Puts the run's state on the disk now, if none is there yet.
    pub fn save(&mut self, observer: Observer<'_>) {
        if let Some((keeper, _)) = &mut self.keeper
            && keeper.kept().is_none()
        {
            keeper.keep(self.progress.clone(), observer);
        }
    }

    /// Removes the run's state from the disk.
    pub fn forget(&mut self) {
        if let Some((keeper, _)) = &mut self.keeper {
            keeper.remove();
        }
    }

    /// What the last run took on the device.
    pub fn memory_taken(&self) -> Option<MemoryTaken> {
        self.taken
    }

    /// Runs the remaining sampling steps, then decodes into a sink. The state on the disk is removed when
    /// the sink has finished.
    ///
    /// # Errors
    /// No room on the device, a device that is lost twice, cancelled, or the sink's own error.
    pub fn run(
        &mut self,
        sink: &mut dyn Sink,
        observer: Observer<'_>,
        cancel: &Cancel,
    ) -> Result<Summary, Error> {
        let latents = self.sample(observer, cancel)?;
        self.decode(&latents, sink, observer, cancel)?;
        Ok(Summary {
            latents,
            memory: self.taken,
        })
    }

    /// Samples: the latents, with the run's metadata. A run that was resumed after its last step
    /// returns what it has.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn sample(&mut self, observer: Observer<'_>, cancel: &Cancel) -> Result<Latents, Error> {
        if let Some(began) = self.began.take() {
            observer(Event::Note(Note::Break { began }));
        }
        if let RunProgress::All(latents) = &self.progress {
            let mut latents = latents.clone();
            latents.metadata = self.metadata.0.clone();
            observer(Event::Note(Note::Sampled));
            return Ok(latents);
        }
        self.save(observer);
        let sampled = self.sample_steps(observer, cancel);
        match sampled {
            Ok(mut latents) => {
                latents.metadata = self.metadata.0.clone();
                self.progress = RunProgress::All(latents.clone());
                if let Some((keeper, _)) = &mut self.keeper {
                    // Ask not to be interrupted: the latents are the result of the whole sampling.
                    observer(Event::Completing);
                    keeper.keep(self.progress.clone(), observer);
                }
                Ok(latents)
            }
            Err(error) => {
                if let Some((keeper, stays)) = &mut self.keeper
                    && !*stays
                {
                    keeper.remove_if_empty();
                }
                Err(error)
            }
        }
    }

    fn sample_steps(&mut self, observer: Observer<'_>, cancel: &Cancel) -> Result<Latents, Error> {
        let Self {
            engine,
            prepared,
            settings,
            progress,
            keeper,
            ..
        } = self;
        let (seed, previews) = (settings.seed, engine.previews);
        let caps = engine.gpu().caps().clone();
        let planned = |budget| Ok(prepared.sampling_plan(&caps, budget)?.peak_bytes());
        let mut attempt = |gpu: &Gpu, budget: Option<u64>, observer: Observer<'_>| {
            let plan = prepared.sampling_plan(gpu.caps(), budget)?;
            let from = match &*progress {
                RunProgress::Steps(state) => Some(state.clone()),
                _ => None,
            };
            let start = Start {
                seed,
                from: from.as_ref(),
                previews,
            };
            let mut watch = |event: Event| {
                if let Event::Checkpoint(state) = &event {
                    // A retry starts from this state.
                    *progress = RunProgress::Steps((**state).clone());
                    observer(event);
                    if let Some((keeper, _)) = keeper.as_mut() {
                        keeper.keep(progress.clone(), observer);
                    }
                } else {
                    observer(event);
                }
            };
            compiling_ahead(gpu, prepared, || {
                denoise(gpu, prepared, &plan, start, cancel, &mut watch)
            })
        };
        let device = engine.device.clone();
        let sampled = device.with_retry(Half::Sampling, &planned, observer, &mut attempt);
        let (latents, taken) = sampled?;
        self.taken = Some(taken);
        Ok(latents)
    }

    /// Decodes latents into a sink.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn decode(
        &mut self,
        latents: &Latents,
        sink: &mut dyn Sink,
        observer: Observer<'_>,
        cancel: &Cancel,
    ) -> Result<(), Error> {
        let info = ClipInfo {
            width: self.settings.width,
            height: self.settings.height,
            frames: self.settings.frames,
        };
        let half = HalfRun {
            engine: &self.engine,
            component: self.prepared.decoder(),
            plan: self.prepared.decode_plan(),
            budget: self.prepared.plan().budget,
        };
        let taken = half.run(latents, &info, sink, observer, cancel)?;
        self.taken = Some(self.taken.map_or(taken, |before| before.with(taken)));
        if let Some((keeper, stays)) = &mut self.keeper
            && !*stays
        {
            keeper.remove();
        }
        Ok(())
    }
}

/// Runs `work` and meanwhile, on a thread of its own, compiles what the run needs later.
fn compiling_ahead<T>(gpu: &Gpu, prepared: &Prepared, work: impl FnOnce() -> T) -> T {
    let stop = Cancel::new();
    std::thread::scope(|scope| {
        // If no thread can be started, each part compiles its own kernels when it runs.
        let thread = std::thread::Builder::new()
            .name("kinora kernels".to_owned())
            .spawn_scoped(scope, || prepared.compile_ahead(gpu, &stop));
        let done = work();
        stop.cancel();
        // Ignore a panic of the thread: it only compiled ahead, and `done` is valid without it.
        if let Ok(thread) = thread {
            let _ = thread.join();
        }
        done
    })
}
