//! What the commands that write clips share: the files of one, and how a run's end is told.

use std::cell::RefCell;

use kinora::job::{Both, OnThread, PngSink};
use kinora::media::VideoOptions;
use kinora::{Event, Mp4Sink};

use crate::args::VideoArgs;
use crate::error::CliError;
use crate::interrupt::Interrupt;
use crate::output::{self, Target};
use crate::progress::Progress;
use crate::show::quoted;

/// Options of the video, but for the metadata.
pub(crate) fn video(
    args: &VideoArgs,
    width: usize,
    height: usize,
    fps: f64,
) -> Result<VideoOptions, CliError> {
    let options = VideoOptions::sized([width, height], fps)?;
    Ok(VideoOptions {
        quality: args.quality,
        overwrite: args.force,
        ..options
    })
}

/// The sinks of a clip: its MP4 and, where they are asked for, its frames.
pub(crate) type ClipSink = OnThread<Both<Mp4Sink, PngSink>>;

/// Where a clip's frames go.
pub(crate) fn sink(target: &Target, video: VideoOptions) -> Result<ClipSink, CliError> {
    let frames = |folder| PngSink::new(folder, target.overwrite || target.again);
    let frames = target.frames.as_ref().map(frames);
    let clip = Mp4Sink::new(&target.clip, video)?;
    Ok(OnThread::new(Both(clip, frames)))
}

/// Says what was written; the clip's path goes to standard output.
pub(crate) fn tell(sink: &ClipSink, progress: &Progress) -> Result<(), CliError> {
    let Some(summary) = sink.get().and_then(|sink| sink.0.summary()) else {
        return Ok(());
    };
    if let Some(note) = summary.note() {
        progress.say(format_args!("note: {note}"));
    }
    progress.say(summary);
    output::print(format!("{}\n", summary.path.display()).as_bytes())
}

/// A run as it is watched: progress on the screen, and what an interrupt would say.
pub(crate) struct Watched<'a> {
    target: &'a Target,
    interrupt: &'a Interrupt,
    progress: RefCell<&'a mut Progress>,
    /// Where the run's state lies, and whether steps would be lost with it.
    kept: RefCell<Option<(std::path::PathBuf, bool)>>,
}

impl<'a> Watched<'a> {
    pub(crate) fn new(
        target: &'a Target,
        interrupt: &'a Interrupt,
        progress: &'a mut Progress,
        kept: Option<(std::path::PathBuf, bool)>,
    ) -> Self {
        let this = Self {
            target,
            interrupt,
            progress: RefCell::new(progress),
            kept: RefCell::new(kept),
        };
        this.may_be_cut_off();
        this
    }

    /// From here on nothing is lost when the program ends at once.
    pub(crate) fn may_be_cut_off(&self) {
        let parting = self.with_kept(self.interrupted());
        self.interrupt.may_cut_off(&parting);
    }

    /// Takes an event of the run.
    pub(crate) fn event(&self, event: &Event) {
        match event {
            Event::Saved { path, has_steps } => {
                *self.kept.borrow_mut() = Some((path.clone(), *has_steps));
                self.may_be_cut_off();
            }
            Event::Completing => self.interrupt.may_not_cut_off(),
            _ => {}
        }
        self.progress.borrow_mut().event(event);
    }

    /// A line for the person who watches.
    pub(crate) fn say(&self, line: impl std::fmt::Display) {
        self.progress.borrow().say(line);
    }

    fn interrupted(&self) -> CliError {
        CliError::Interrupted {
            path: self.target.clip.clone(),
        }
    }

    /// The error that ended the run, and how to go on from what is kept.
    pub(crate) fn ended(&self, error: impl Into<CliError>, kept: bool) -> CliError {
        self.progress.borrow_mut().stop();
        let mut error = error.into();
        if error.is_interruption() {
            error = self.interrupted();
        }
        if kept { self.with_kept(error) } else { error }
    }

    fn with_kept(&self, error: CliError) -> CliError {
        let kept = self.kept.borrow();
        let Some((path, has_steps)) = &*kept else {
            return error;
        };
        let shown = path.display().to_string();
        let command = quoted(&shown);
        CliError::Kept {
            source: Box::new(error),
            kept: if *has_steps {
                format!("what was sampled is kept; go on with: kinora resume {command}")
            } else {
                format!("go on with: kinora resume {command}")
            },
        }
    }
}
