//! What the commands that write clips share: the files of one, and how a run's end is told.

use std::cell::RefCell;

use kinora::Event;
use kinora::job::{Target, TargetSink};
use kinora::media::VideoOptions;

use crate::args::VideoArgs;
use crate::error::CliError;
use crate::interrupt::Interrupt;
use crate::output;
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

/// Where a clip's frames go.
pub(crate) fn sink(target: &Target, video: VideoOptions) -> Result<TargetSink, CliError> {
    Ok(target.sink(video, Box::new(std::io::stdout()))?)
}

/// Says what was written; the clip's path goes to standard output, unless the clip did.
pub(crate) fn tell(
    sink: &TargetSink,
    target: &Target,
    progress: &Progress,
    json: bool,
) -> Result<(), CliError> {
    let Some((line, note)) = sink.get().and_then(|sink| sink.0.told()) else {
        return Ok(());
    };
    if let Some(note) = note {
        progress.say(format_args!("note: {note}"));
    }
    progress.say(line);
    match target.stream {
        Some(_) => Ok(()),
        None if json => Ok(()),
        None => output::print(format!("{}\n", target.clip.display()).as_bytes()),
    }
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
            path: self.target.name().to_owned(),
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
