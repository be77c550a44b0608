//! What a person sees of a run, on standard error: a bar where it is a terminal, else lines.

use std::fmt::{self, Display, Write as _};
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use kinora::gpu::{Gpu, profile_table};
use kinora::job::MemoryTaken;
use kinora::pipeline::{Event, Remaining, Stage};
use kinora::request::{Note, Rate, Seconds, bytes_for_people};
use kinora::weights::Latents;

use crate::args::ReportArgs;
use crate::preview::Preview;

/// Where there is no bar, how long a stage goes on without a word.
pub(crate) const SILENCE: Duration = Duration::from_secs(15);
/// How often a bar is drawn anew while nothing happens, so that it is seen to live.
pub(crate) const TICK: Duration = Duration::from_millis(120);

/// Tells of a run, or keeps quiet.
pub(crate) struct Progress {
    quiet: bool,
    terminal: bool,
    /// Tells in JSON, an object a line.
    json: bool,
    /// The device whose kernels are timed.
    profiled: Option<Gpu>,
    running: Option<Running>,
    preview: Option<Preview>,
}

/// The stage under way.
struct Running {
    stage: Stage,
    begun: Instant,
    spoken: Instant,
    units: Remaining,
    /// Whether sampling told its number of steps.
    stepped: bool,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Prints nothing where `quiet`.
    pub(crate) fn new(quiet: bool) -> Self {
        Self {
            quiet,
            json: false,
            terminal: io::stderr().is_terminal(),
            profiled: None,
            running: None,
            preview: None,
        }
    }

    /// Tells what `--events` asks for: JSON, an object a line, and nothing else.
    pub(crate) fn telling(quiet: bool, report: &ReportArgs) -> Self {
        let mut this = Self::new(quiet);
        this.json = report.events.is_some();
        this.terminal &= !this.json;
        this
    }

    /// From here on, also writes what each step predicts.
    pub(crate) fn preview(&mut self, preview: Preview) {
        self.preview = Some(preview);
    }

    /// From here on, also tells after each stage where its time went.
    pub(crate) fn profile(&mut self, gpu: &Gpu) {
        gpu.begin_profile();
        self.profiled = Some(gpu.clone());
    }

    /// What was on the device at most, beside what was planned.
    pub(crate) fn memory(&self, taken: Option<MemoryTaken>) {
        let Some(taken) = taken.filter(|taken| taken.planned > 0) else {
            return;
        };
        let [peak, planned] = [taken.peak, taken.planned].map(bytes_for_people);
        self.say(format_args!(
            "device memory: at most {peak} of {planned} planned"
        ));
    }

    /// A line.
    pub(crate) fn say(&self, line: impl Display) {
        if self.json {
            let text = line.to_string();
            say(None, serde_json::json!({"event": "message", "text": text}));
        } else if !self.quiet {
            say(self.running.as_ref().and_then(|run| run.bar.as_ref()), line);
        }
    }

    /// What the engine tells of itself.
    pub(crate) fn event(&mut self, event: &Event) {
        if self.json {
            match event {
                Event::Predicted { latents, .. } => self.predicted(latents),
                event => event.to_json().into_iter().for_each(|line| say(None, line)),
            }
            return;
        }
        match event {
            Event::Note(Note::Sampled) => self.say("sampling: done already"),
            Event::Note(Note::About(about)) => self.say(format_args!(
                "note: {about}; 'kinora pull --help' lists models for all else"
            )),
            Event::Started { stage, total } => self.start(*stage, *total),
            // It is told in steps.
            Event::Resumed { stage, .. } | Event::Progress { stage, .. }
                if *stage == Stage::Sample => {}
            Event::Resumed { skipped, .. } => self.skip(*skipped),
            Event::Progress { done, total, .. } => self.advance(*done, *total),
            Event::Step { done, total } => self.step(*done, *total),
            Event::Finished { .. } => self.finish(),
            Event::Predicted { latents, .. } => self.predicted(latents),
            event => {
                if let Some(text) = event.sentence() {
                    self.say(format_args!("note: {text}"));
                }
            }
        }
    }

    fn predicted(&mut self, latents: &Latents) {
        // The run is worth more than its previews.
        if let Some(Err(error)) = self.preview.as_ref().map(|preview| preview.write(latents)) {
            self.preview = None;
            self.say(format_args!("note: no more previews: {error}"));
        }
    }

    fn start(&mut self, stage: Stage, total: usize) {
        self.stop();
        let now = Instant::now();
        let bar = (self.terminal && !self.quiet).then(|| bar(stage, total));
        self.running = Some(Running {
            stage,
            begun: now,
            spoken: now,
            units: Remaining::new(total),
            stepped: false,
            bar,
        });
        if !self.terminal {
            self.say(stage);
        }
    }

    /// Steps done: those of an earlier run are known when the first comes.
    fn step(&mut self, done: usize, total: usize) {
        let Some(running) = &mut self.running else {
            return;
        };
        if !running.stepped {
            (running.stepped, running.units.total) = (true, total);
            if let Some(bar) = &running.bar {
                bar.set_length(total as u64);
            }
            if done > 0 {
                self.skip(done);
            }
            return;
        }
        self.advance(done, total);
    }

    fn skip(&mut self, skipped: usize) {
        let Some(running) = &mut self.running else {
            return;
        };
        running.units.skip(skipped);
        if let Some(bar) = &running.bar {
            bar.set_position(skipped as u64);
            bar.reset_eta();
        }
        let line = format!(
            "{}: going on from {skipped} of {}",
            running.stage, running.units.total
        );
        self.say(line);
    }

    fn advance(&mut self, done: usize, total: usize) {
        let Some(running) = &mut self.running else {
            return;
        };
        let left = running.units.reach(done, total, Instant::now());
        if let Some(bar) = &running.bar {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
            if let Some(left) = left {
                bar.set_message(format!("{} left", Seconds(left)));
            }
        } else if running.spoken.elapsed() >= SILENCE && done < total {
            running.spoken = Instant::now();
            let mut line = format!("{}: {done} of {total}", running.stage);
            if let Some(left) = left {
                // Writing to a string cannot fail.
                let _ = write!(line, ", {} left", Seconds(left));
            }
            self.say(line);
        }
    }

    /// The stage is done: how long it took stays on the screen.
    fn finish(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        if let Some(bar) = &running.bar {
            bar.finish_and_clear();
        }
        let took = running.begun.elapsed();
        self.told(&running, took);
        if let Some(gpu) = &self.profiled {
            let rows = gpu.take_profile();
            if !rows.is_empty() {
                self.say(profile_table(&rows, took));
            }
        }
    }

    fn told(&self, running: &Running, took: Duration) {
        // Small models load in no time: nothing to tell.
        if matches!(running.stage, Stage::Load(_)) && took < Duration::from_secs(1) {
            return;
        }
        let mut line = format!("{}: {}", running.stage, Seconds(took));
        let done = running.units.done - running.units.skipped;
        if done > 1 {
            // Writing to a string cannot fail.
            let _ = write!(
                line,
                " ({})",
                Rate(done as f64 / took.as_secs_f64().max(1e-6))
            );
        }
        self.say(line);
    }

    /// The run ends early: nothing of the bar stays.
    pub(crate) fn stop(&mut self) {
        if let Some(bar) = self.running.take().and_then(|running| running.bar) {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A line on standard error, above the bar where there is one.
pub(crate) fn say(bar: Option<&ProgressBar>, line: impl Display) {
    let write = || {
        // A run goes on though nobody listens any more.
        let _ = writeln!(io::stderr().lock(), "{line}");
    };
    match bar {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

fn bar(stage: Stage, total: usize) -> ProgressBar {
    // One unit has no rate.
    let bar = match total {
        0 | 1 => ProgressBar::new_spinner(),
        total => ProgressBar::new(total as u64),
    };
    let template = match total {
        0 | 1 => "{prefix:24} {spinner}  {elapsed}",
        _ => "{prefix:24} {wide_bar}  {pos}/{len}  {rate}  {msg}",
    };
    // Without a style it is a plainer bar.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.with_key("rate", rate));
    }
    bar.set_prefix(stage.to_string());
    bar.enable_steady_tick(TICK);
    bar
}

fn rate(state: &ProgressState, out: &mut dyn fmt::Write) {
    // As in `left`.
    let _ = match state.pos() {
        0 => out.write_str("…"),
        _ => write!(out, "{}", Rate(state.per_sec())),
    };
}

/// The time left, for a bar's style.
pub(crate) fn left(state: &ProgressState, out: &mut dyn fmt::Write) {
    // Nowhere to report it: the bar is drawn anew in a moment.
    let _ = match state.pos() {
        0 => out.write_str("…"),
        _ => write!(out, "{}", Seconds(state.eta())),
    };
}
