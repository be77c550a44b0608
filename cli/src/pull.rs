//! `kinora pull`: a model from the hub, into the cache that the hub's own tools use.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use kinora::request::bytes_for_people;
use kinora_hub::{Download, Hub, HubError, Observer, Progress, Repo, Stage};

use crate::args::PullArgs;
use crate::error::CliError;
use crate::interrupt::Interrupt;
use crate::model::repo_named;
use crate::output;
use kinora::request::Seconds;

use crate::progress::{SILENCE, TICK, left, say};

/// A download that a person at a terminal is asked about: 1 GB.
const LARGE: u64 = 1_000_000_000;

/// Downloads the model; prints its folder.
pub(crate) fn run(args: &PullArgs, quiet: bool) -> Result<(), CliError> {
    let repo: Repo = repo_named(&args.name).parse()?;
    let repo = match &args.revision {
        Some(revision) => repo.at(revision)?,
        None => repo,
    };
    let hub = Hub::from_env()?;
    let interrupt = Interrupt::listen()?;
    // At any moment: what is on the disk is written down.
    interrupt.may_cut_off(&HubError::Interrupted.into());
    let download = hub.inspect(&repo, &interrupt)?;
    let summary = summary(&hub, &download);
    if args.dry_run {
        let rows = download.files().iter().map(|file| {
            let state = match file.here {
                0 => "",
                here if here == file.size => "  here",
                _ => "  in part here",
            };
            let size = bytes_for_people(file.size);
            format!("{size:>10}  {}{state}\n", file.path)
        });
        return output::print((rows.collect::<String>() + &summary + "\n").as_bytes());
    }
    let bar = Bar::new(quiet, download.missing(), &interrupt);
    if download.missing() > 0 {
        bar.say(&summary);
        if !args.yes && download.missing() >= LARGE && !agreed(download.missing())? {
            return Err(CliError::Declined);
        }
    }
    bar.begin();
    let folder = hub.download(&download, &bar)?;
    bar.end();
    output::print(format!("{}\n", folder.display()).as_bytes())
}

/// What it is, what it takes, and on which terms.
fn summary(hub: &Hub, download: &Download) -> String {
    let commit: String = download.commit().chars().take(12).collect();
    let mut text = format!("{} at {commit}, ", download.repo());
    // Writing to a string cannot fail, here and below.
    let _ = match download.licence() {
        Some(licence) => write!(text, "licence {licence}"),
        None => write!(
            text,
            "no licence stated: see {}/{}",
            hub.endpoint(),
            download.repo().name()
        ),
    };
    let mut parts: BTreeMap<&str, (u64, usize)> = BTreeMap::new();
    for file in download.files() {
        let part = file.path.split_once('/').map_or("", |(part, _)| part);
        let (size, count) = parts.entry(part).or_default();
        *size += file.size;
        *count += 1;
    }
    let mut row = |part: &str, size: u64, count: usize| {
        let files = if count == 1 { "file" } else { "files" };
        let size = bytes_for_people(size);
        let _ = write!(text, "\n  {part:16} {size:>10} in {count} {files}");
    };
    for (part, (size, count)) in &parts {
        if !part.is_empty() {
            row(part, *size, *count);
        }
    }
    row("all", download.size(), download.files().len());
    let here = download.size().saturating_sub(download.missing());
    if here > 0 {
        let _ = write!(text, ", of which {} are here", bytes_for_people(here));
    }
    let _ = write!(text, "\n  into {}", hub.cache().display());
    text
}

/// Asks where there is somebody to ask.
fn agreed(size: u64) -> Result<bool, CliError> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(true);
    }
    let mut stderr = io::stderr().lock();
    // A question that cannot be put is answered by what is typed all the same.
    let _ = write!(stderr, "Download {}? [Y/n] ", bytes_for_people(size));
    let _ = stderr.flush();
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    let read = read.map_err(|source| CliError::ReadPrompt { source })?;
    let answer = answer.trim().to_ascii_lowercase();
    Ok(read > 0 && ["", "y", "yes"].contains(&answer.as_str()))
}

/// What a person sees of the download: a bar where standard error is a terminal, else lines.
struct Bar<'a> {
    interrupt: &'a Interrupt,
    quiet: bool,
    total: u64,
    bar: Option<ProgressBar>,
    state: Mutex<State>,
}

struct State {
    begun: Instant,
    spoken: Instant,
}

impl<'a> Bar<'a> {
    fn new(quiet: bool, total: u64, interrupt: &'a Interrupt) -> Self {
        let terminal = !quiet && total > 0 && io::stderr().is_terminal();
        let now = Instant::now();
        Self {
            interrupt,
            quiet,
            total,
            bar: terminal.then(ProgressBar::hidden),
            state: Mutex::new(State {
                begun: now,
                spoken: now,
            }),
        }
    }

    /// From here on bytes may arrive.
    fn begin(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.begun, state.spoken) = (Instant::now(), Instant::now());
        let Some(bar) = &self.bar else {
            return;
        };
        let template = "{prefix} {wide_bar}  {decimal_bytes} of {decimal_total_bytes}  \
                        {decimal_bytes_per_sec}  {left} left";
        // Without a style it is a plainer bar.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.with_key("left", left));
        }
        bar.set_prefix("downloading");
        bar.set_length(self.total);
        bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
        bar.reset_eta();
        bar.enable_steady_tick(TICK);
    }

    fn moved(&self, done: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        } else if state.spoken.elapsed() >= SILENCE && done < self.total {
            state.spoken = Instant::now();
            let passed = state.begun.elapsed().as_secs_f64();
            let rate = done as f64 / passed;
            let left = (self.total - done) as f64 / rate.max(1.0);
            let [done, total] = [done, self.total].map(bytes_for_people);
            // A server that sends nothing at all is left to the download.
            let left = Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX);
            self.say(format_args!(
                "downloading: {done} of {total}, {}/s, {} left",
                bytes_for_people(rate as u64),
                Seconds(left)
            ));
        }
    }

    fn say(&self, line: impl Display) {
        if !self.quiet {
            say(self.bar.as_ref(), line);
        }
    }

    fn end(&self) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if self.total > 0 {
            self.say(format_args!(
                "downloaded {} in {}",
                bytes_for_people(self.total),
                Seconds(state.begun.elapsed())
            ));
        }
    }
}

impl Observer for Bar<'_> {
    fn progress(&self, progress: &Progress) {
        match &progress.stage {
            // The last file's is what the bar then waits for.
            Stage::Checking(file) => {
                if let Some(bar) = &self.bar
                    && progress.done >= progress.total
                {
                    bar.set_prefix(format!("checking {file}"));
                }
            }
            _ => self.moved(progress.done),
        }
    }

    fn note(&self, note: &str) {
        self.say(note);
    }

    fn is_cancelled(&self) -> bool {
        self.interrupt.is_cancelled()
    }
}

/// Before there is a bar.
impl Observer for Interrupt {
    fn is_cancelled(&self) -> bool {
        self.cancel().is_cancelled()
    }
}

impl Drop for Bar<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
