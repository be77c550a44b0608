//! Starting the program and looking at what it did.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// A test's result: a sentence where it fails.
pub(crate) type Verdict = Result<(), String>;
/// A name and a test.
pub(crate) type Test = (&'static str, fn() -> Verdict);

/// No command of these tests may take longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// Fails the test with a sentence unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        match $condition {
            true => {}
            false => return Err(format!($($message)+)),
        }
    };
}
pub(crate) use ensure;

/// The small random model of the fixtures: 64x48 pixels take milliseconds.
pub(crate) fn tiny_model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/wan21/model")
}

/// Options that make a clip of the tiny model in a second or two.
pub(crate) fn tiny() -> Vec<String> {
    let model = tiny_model().display().to_string();
    let options = [
        "--width", "64", "--height", "48", "--frames", "9", "--steps", "2", "--model", &model,
    ];
    options.map(str::to_owned).to_vec()
}

/// The command that starts the program, through the runner where there is one and `device` is asked.
pub(crate) fn command(device: bool) -> Command {
    let program = env!("CARGO_BIN_EXE_kinora");
    let mut command = match std::env::var_os("KINORA_RUNNER") {
        Some(runner) if device => {
            let mut command = Command::new(runner);
            command.arg(program);
            command
        }
        _ => Command::new(program),
    };
    // Tests leave nothing in the person's own folders.
    command.env("KINORA_CACHE", "off");
    command
}

/// Whether the program finds a device.
pub(crate) fn has_device() -> bool {
    let found = command(true).arg("info").stdout(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}

/// What a run said and how it ended.
pub(crate) struct Ended {
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ended {
    /// Fails unless it ended with this exit code.
    pub(crate) fn exits(&self, code: i32) -> Verdict {
        let (found, said) = (self.code, &self.err);
        ensure!(
            found == Some(code),
            "exit code {found:?}, expected {code}: {said}"
        );
        Ok(())
    }

    /// Fails unless it ended well.
    pub(crate) fn good(self) -> Result<Self, String> {
        self.exits(0)?;
        Ok(self)
    }

    /// Fails unless it was refused with one sentence that names all of `words`.
    pub(crate) fn refused(&self, words: &[&str]) -> Verdict {
        self.exits(2)?;
        ensure!(self.out.is_empty(), "printed {:?}", self.out);
        let errors: Vec<&str> = self
            .err
            .lines()
            .filter(|line| line.starts_with("error: "))
            .collect();
        ensure!(
            errors.len() == 1,
            "expected one error, found {:?}",
            self.err
        );
        for noise in ["panicked", "RUST_BACKTRACE", "wgpu", "Validation"] {
            ensure!(!self.err.contains(noise), "{noise} in {:?}", self.err);
        }
        for word in words {
            ensure!(
                errors[0].contains(word),
                "{word:?} is not in {:?}",
                errors[0]
            );
        }
        Ok(())
    }
}

/// A folder to run in, gone at the end of the test.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    /// An empty folder.
    pub(crate) fn new() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        Ok(Self { folder })
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Every file and folder in it, at any depth.
    pub(crate) fn files(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.path().is_dir() {
                    folders.push(entry.path());
                }
                let path = entry.path();
                let inside = path.strip_prefix(self.folder.path()).unwrap_or(&path);
                found.insert(inside.display().to_string());
            }
        }
        found
    }

    /// Runs to the end without a device.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<Ended, String> {
        self.feed(command(false), arguments, &[])
    }

    /// Runs to the end on the device.
    pub(crate) fn run_on_device(&self, arguments: &[&str]) -> Result<Ended, String> {
        self.feed(command(true), arguments, &[])
    }

    /// Runs `generate` with the tiny model and further options on the device.
    pub(crate) fn generate(&self, prompt: &str, options: &[&str]) -> Result<Ended, String> {
        let tiny = tiny();
        let mut arguments = vec!["generate", prompt];
        arguments.extend(tiny.iter().map(String::as_str));
        arguments.extend(options);
        self.run_on_device(&arguments)
    }

    /// Runs to the end with `input` on standard input.
    pub(crate) fn feed(
        &self,
        command: Command,
        arguments: &[&str],
        input: &[u8],
    ) -> Result<Ended, String> {
        let mut running = self.start(command, arguments)?;
        let mut stdin = running.child.stdin.take().ok_or("no standard input")?;
        let input = input.to_vec();
        // It may refuse before it has read everything.
        let feeder = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let ended = running.wait(PATIENCE);
        feeder.join().map_err(|_| "the feeding thread panicked")?;
        ended
    }

    /// Starts it in the folder.
    pub(crate) fn start(
        &self,
        mut command: Command,
        arguments: &[&str],
    ) -> Result<Running, String> {
        command.args(arguments).current_dir(self.folder.path());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| format!("{command:?}: {e}"))?;
        let stderr = child.stderr.take().ok_or("no standard error")?;
        let mut stdout = child.stdout.take().ok_or("no standard output")?;
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        let (send, out) = channel();
        std::thread::spawn(move || {
            let mut text = Vec::new();
            // What came before an error is what there is.
            let _ = stdout.read_to_end(&mut text);
            let _ = send.send(String::from_utf8_lossy(&text).into_owned());
        });
        Ok(Running {
            child,
            lines,
            out,
            err: String::new(),
        })
    }
}

/// A run under way.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    out: Receiver<String>,
    err: String,
}

impl Running {
    /// Waits until a line of standard error begins so.
    pub(crate) fn says(&mut self, beginning: &str) -> Verdict {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            let line = line.map_err(|_| format!("never said {beginning:?}: {}", self.err))?;
            self.err.push_str(&line);
            self.err.push('\n');
            if line.starts_with(beginning) {
                return Ok(());
            }
        }
    }

    /// Sends a signal: `INT`, `TERM`, `KILL`.
    #[cfg(unix)]
    pub(crate) fn signal(&self, name: &str) -> Verdict {
        // The system call, not the program `kill`, which a small container does not have.
        let id = i32::try_from(self.child.id()).map_err(|e| e.to_string())?;
        let signal: nix::sys::signal::Signal = format!("SIG{name}")
            .parse()
            .map_err(|e| format!("SIG{name}: {e}"))?;
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), signal)
            .map_err(|e| format!("cannot send {name} to {id}: {e}"))
    }

    /// Waits for the end.
    pub(crate) fn wait(&mut self, patience: Duration) -> Result<Ended, String> {
        let deadline = Instant::now() + patience;
        let status = loop {
            if let Some(status) = self.child.try_wait().map_err(|e| e.to_string())? {
                break status;
            }
            ensure!(
                Instant::now() < deadline,
                "still running after {patience:?}: {}",
                self.err
            );
            std::thread::sleep(Duration::from_millis(5));
        };
        while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(10)) {
            self.err.push_str(&line);
            self.err.push('\n');
        }
        let out = self
            .out
            .recv_timeout(Duration::from_secs(10))
            .unwrap_or_default();
        Ok(Ended {
            code: status.code(),
            out,
            err: std::mem::take(&mut self.err),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A test that failed leaves no run behind; one that ended cannot be killed, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
