//! Runs that end before they are done: whatever ends them, no file bears the clip's name, and a
//! finished sampling run is not lost.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kinora::media::is_temporary;

use crate::program::{Ended, Place, Running, Test, Verdict, command, ensure, tiny};

#[cfg(unix)]
pub(crate) const TESTS: &[Test] = &[
    ("ctrl_c_ends_within_a_submit", ctrl_c),
    ("ctrl_c_while_decoding_keeps_the_run", ctrl_c_while_decoding),
    ("the_second_ctrl_c_ends_at_once", second_ctrl_c),
    ("sigterm_and_sighup_are_heeded", sigterm),
    ("under_nohup_a_hangup_changes_nothing", nohup),
    ("kill_leaves_nothing_under_the_name", kill),
];
#[cfg(not(unix))]
pub(crate) const TESTS: &[Test] = &[];

#[cfg(target_os = "linux")]
pub(crate) const DISK_TESTS: &[Test] = &[("a_full_disk_is_named_and_the_run_is_kept", full_disk)];
#[cfg(not(target_os = "linux"))]
pub(crate) const DISK_TESTS: &[Test] = &[];

/// How long an interrupted run may take to end: one submit, on a busy machine.
const SOON: Duration = Duration::from_secs(4);

/// Starts a run that lasts: many steps, many frames.
fn start(place: &Place, steps: &str, frames: &str) -> Result<Running, String> {
    let tiny = tiny();
    let mut arguments = vec!["generate", "a boat"];
    arguments.extend(tiny.iter().map(String::as_str));
    arguments.extend([
        "--steps", steps, "--frames", frames, "--seed", "7", "-o", "a.mp4",
    ]);
    place.start(command(true), &arguments)
}

/// Interrupts a run when it says `at`; what it said to the end.
fn interrupt(
    place: &Place,
    signal: &str,
    steps: &str,
    frames: &str,
    at: &str,
) -> Result<String, String> {
    let mut running = start(place, steps, frames)?;
    running.says(at)?;
    let begun = Instant::now();
    running.signal(signal)?;
    let ended = running.wait(SOON)?;
    ended.exits(130).map_err(|error| format!("{at}: {error}"))?;
    ensure!(ended.out.is_empty(), "printed {:?}", ended.out);
    ensure!(
        ended.err.contains("interrupted: a.mp4 was not written"),
        "{}",
        ended.err
    );
    ensure!(!place.path("a.mp4").exists(), "a.mp4 was written");
    println!(
        "{signal} at {at:?}: ended after {:.2} s",
        begun.elapsed().as_secs_f64()
    );
    Ok(ended.err)
}

fn ctrl_c() -> Verdict {
    for at in ["device:", "encoding", "loading transformer"] {
        let place = Place::new()?;
        interrupt(&place, "INT", "1000", "33", at)?;
        ensure!(place.files().is_empty(), "{at}: left {:?}", place.files());
    }
    let place = Place::new()?;
    let mut running = start(&place, "1000", "33")?;
    running.says("sampling")?;
    // Some steps, which are worth keeping.
    std::thread::sleep(Duration::from_millis(300));
    running.signal("INT")?;
    let ended = running.wait(SOON)?;
    ended.exits(130)?;
    let left: Vec<String> = place.files().into_iter().collect();
    ensure!(left == ["a.kinora-state"], "left {left:?}");
    ensure!(
        ended
            .err
            .contains("go on with: kinora resume a.kinora-state"),
        "{}",
        ended.err
    );
    Ok(())
}

fn ctrl_c_while_decoding() -> Verdict {
    let place = Place::new()?;
    let said = interrupt(&place, "INT", "1", "401", "decoding")?;
    let left: Vec<String> = place.files().into_iter().collect();
    ensure!(left == ["a.kinora-state"], "left {left:?}");
    let hint = said
        .lines()
        .find_map(|line| line.split_once("go on with: kinora "));
    let (_, hint) = hint.ok_or(format!("no way to go on in {said}"))?;
    // The paths of this test need no quotes.
    let arguments: Vec<&str> = hint
        .split(' ')
        .map(|word| word.trim_matches('\''))
        .collect();
    let mut running = place.start(command(true), &arguments)?;
    running.says("decoding")?;
    running.signal("INT")?;
    let ended = running.wait(SOON)?;
    ended.exits(130)?;
    ensure!(place.files().len() == 1, "left {:?}", place.files());
    Ok(())
}

fn second_ctrl_c() -> Verdict {
    let place = Place::new()?;
    let mut running = start(&place, "1000", "33")?;
    running.says("sampling")?;
    running.signal("INT")?;
    // The first may have ended it already.
    let _ = running.signal("INT");
    let ended = running.wait(SOON)?;
    ended.exits(130)?;
    let left = place.files();
    // What holds the lock of a process that is no more holds nothing.
    let worth = |name: &String| {
        name == "a.kinora-state" || name.ends_with(".lock") || is_temporary(name.as_ref())
    };
    ensure!(left.iter().all(worth), "left {left:?}");
    Ok(())
}

fn sigterm() -> Verdict {
    interrupt(&Place::new()?, "TERM", "1000", "33", "sampling")?;
    if hangups_are_ignored() {
        println!("these tests run under nohup, and so does what they start: no HUP");
        return Ok(());
    }
    interrupt(&Place::new()?, "HUP", "1000", "33", "sampling").map(drop)
}

/// Whether this process ignores SIGHUP, which what it starts inherits. Linux alone tells.
fn hangups_are_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // Signal 1 is the lowest bit.
    ignored.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).is_ok_and(|m| m & 1 == 1))
}

fn nohup() -> Verdict {
    let place = Place::new()?;
    let program = command(true);
    let mut nohup = Command::new("nohup");
    nohup.arg(program.get_program()).args(program.get_args());
    let mut arguments = vec!["generate", "a boat"];
    let tiny = tiny();
    arguments.extend(tiny.iter().map(String::as_str));
    arguments.extend(["-o", "a.mp4"]);
    let mut running = place.start(nohup, &arguments)?;
    running.says("sampling")?;
    running.signal("HUP")?;
    let ended = running.wait(Duration::from_secs(60))?.good()?;
    ensure!(ended.out == "a.mp4\n", "printed {:?}", ended.out);
    Ok(())
}

fn kill() -> Verdict {
    let moments = [
        ("device:", 0),
        ("sampling", 0),
        ("sampling", 40),
        ("decoding", 0),
        ("decoding", 60),
        ("decoding:", 0),
    ];
    for (at, later) in moments {
        let place = Place::new()?;
        let (steps, frames) = if at == "sampling" {
            ("1000", "9")
        } else {
            ("1", "161")
        };
        let mut running = start(&place, steps, frames)?;
        running.says(at)?;
        std::thread::sleep(Duration::from_millis(later));
        running.signal("KILL")?;
        let ended = running.wait(SOON)?;
        ensure!(
            ended.code.is_none() || at == "decoding:",
            "exit code {:?}",
            ended.code
        );
        if ended.code.is_none() && place.path("a.mp4").exists() {
            // The last moment: the clip was whole.
            let frames = kinora::media::decode(&place.path("a.mp4")).map_err(|e| e.to_string())?;
            let whole = frames
                .map(|frame| frame.map(drop))
                .collect::<Result<Vec<_>, _>>();
            ensure!(
                whole.is_ok_and(|f| f.len() == 161),
                "{at}: half a clip bears the name"
            );
            ensure!(at == "decoding:", "{at}: a clip bears the name");
        }
    }
    Ok(())
}

/// Whether this machine lets us have a small disk of our own.
pub(crate) fn can_mount() -> bool {
    let small = Command::new("unshare")
        .args([
            "-rm", "mount", "-t", "tmpfs", "-o", "size=64k", "none", "/mnt",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    small.is_ok_and(|status| status.success())
}

/// Runs the program on a disk of its own without room for the clip and its state, which goes to the
/// folder of temporary files; then someone makes room, and `again` is run.
fn on_full_disk(place: &Place, again: &str) -> Result<(Ended, Vec<String>), String> {
    for folder in ["disk", "tmp"] {
        std::fs::create_dir_all(place.path(folder)).map_err(|e| e.to_string())?;
    }
    // The disk is seen by the program and the shell around it alone.
    let script = format!(
        "mount -t tmpfs -o size=12k none disk || exit 99; cd disk; \"$@\"; echo code $? >&2; ls -A
        ls -A ../tmp >&2; mount -o remount,size=1m . || exit 98; {again}; code=$?; ls -A; exit $code"
    );
    let mut shell = Command::new("unshare");
    shell
        .args(["-rm", "sh", "-c", &script, "sh"])
        .env("TMPDIR", place.path("tmp"))
        .env("KINORA_CACHE", "off");
    let program = command(true);
    shell.arg(program.get_program()).args(program.get_args());
    let tiny = tiny();
    let mut arguments = vec!["generate", "a boat"];
    arguments.extend(tiny.iter().map(String::as_str));
    arguments.extend(["--frames", "97", "--quality", "100", "-o", "a.mp4"]);
    let ended = place.feed(shell, &arguments, &[])?;
    let left = place.files().into_iter();
    Ok((ended, left.filter(|name| name.contains("tmp/")).collect()))
}

fn full_disk() -> Verdict {
    // The same command, its clip by name, and what the program said.
    let program = "\"$1\" $([ -x \"$2\" ] && echo \"$2\")";
    let resume = |what: &str| format!("{program} resume {what}");
    for again in ["\"$@\"", &resume("a.mp4"), &resume("")] {
        let place = Place::new()?;
        let (ended, left) = on_full_disk(&place, again)?;
        let ended = ended.good().map_err(|error| format!("{again}: {error}"))?;
        for word in [
            "disk is full",
            "what was sampled is kept",
            "code 1\n",
            "a.kinora-state\n",
            "sampling: done already",
        ] {
            ensure!(ended.err.contains(word), "{word:?} is not in {}", ended.err);
        }
        ensure!(
            ended.out == "a.mp4\na.mp4\n",
            "{again}: left {:?}",
            ended.out
        );
        ensure!(left.is_empty(), "{again}: left {left:?}");
    }
    Ok(())
}
