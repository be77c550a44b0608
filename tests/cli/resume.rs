//! Nothing of a run is lost: however it ended, the next one goes on from there and makes the same
//! clip, bit for bit.

#[path = "resume/killed.rs"]
mod killed;
#[path = "resume/refused.rs"]
mod refused;

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kinora::media::read_metadata;
use kinora::weights::{RunProgress, RunState, SolverState};

use crate::clips::text;
use crate::program::{Ended, Place, Running, Test, Verdict, command, ensure, tiny_model};

pub(crate) const WORDS: &[Test] = &[("what_is_no_state_is_refused", refused::no_states)];

#[cfg(unix)]
pub(crate) const TESTS: &[Test] = &[
    ("killed_runs_make_the_same_clip", killed::killed),
    ("the_same_command_finds_a_drawn_seed", drawn_seed),
    ("variations_go_on_where_they_were", variations),
    (
        "another_runs_state_is_not_overwritten",
        refused::another_run,
    ),
    ("a_state_says_all_that_its_run_needs", from_elsewhere),
    (
        "a_run_does_not_go_on_with_another_tokenizer",
        refused::another_tokenizer,
    ),
    ("a_run_that_begins_anew_has_a_seed_of_its_own", own_seed),
];
#[cfg(not(unix))]
pub(crate) const TESTS: &[Test] = &[];

#[cfg(target_os = "linux")]
pub(crate) const DISK_TESTS: &[Test] = &[("a_run_outlives_a_disk_without_room", no_room)];
#[cfg(not(target_os = "linux"))]
pub(crate) const DISK_TESTS: &[Test] = &[];

/// A run that ends soon, and yet has steps to be killed between.
fn arguments(more: &[&str]) -> Vec<String> {
    let model = tiny_model().display().to_string();
    let words = [
        "generate", "a boat", "--width", "64", "--height", "48", "--frames", "17", "--steps", "60",
        "--model", &model,
    ];
    words.iter().chain(more).map(|w| (*w).to_owned()).collect()
}

fn start(place: &Place, words: &[String]) -> Result<Running, String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    place.start(command(true), &words)
}

fn finish(place: &Place, words: &[String]) -> Result<Ended, String> {
    start(place, words)?.wait(Duration::from_secs(60))?.good()
}

/// Every file in the folder with its bytes, but for locks: what a killed run leaves of them goes with
/// the next.
fn contents(place: &Place) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let files = place.files().into_iter();
    let files = files.filter(|name| place.path(name).is_file() && !name.ends_with(".lock"));
    files
        .map(|name| Ok((name.clone(), fs::read(place.path(&name)).map_err(text)?)))
        .collect()
}

/// Kills a run when some of its steps are kept.
fn kill_between_steps(place: &Place, words: &[String], state: &str) -> Verdict {
    let mut running = start(place, words)?;
    let path = place.path(state);
    let deadline = Instant::now() + Duration::from_secs(60);
    let is_kept = || matches!(RunState::read(&path), Ok(s) if s.progress != RunProgress::Nothing);
    while !is_kept() {
        ensure!(Instant::now() < deadline, "{state} was never written");
        std::thread::sleep(Duration::from_millis(2));
    }
    running.signal("KILL")?;
    running.wait(Duration::from_secs(20)).map(drop)
}

fn long(more: &[&str]) -> Vec<String> {
    arguments(&[&["--steps", "400"], more].concat())
}

fn drawn_seed() -> Verdict {
    for output in [&["-o", "b.mp4"] as &[&str], &[]] {
        let place = Place::new()?;
        let words = long(output);
        let mut running = start(&place, &words)?;
        running.says("sampling")?;
        std::thread::sleep(Duration::from_millis(200));
        running.signal("INT")?;
        let ended = running.wait(Duration::from_secs(20))?;
        ensure!(ended.code == Some(130), "{:?}: {}", ended.code, ended.err);
        let seed = |said: &str| -> Option<String> {
            let line = said.lines().find_map(|line| line.strip_prefix("seed: "));
            line.map(str::to_owned)
        };
        let again = finish(&place, &words)?;
        ensure!(
            seed(&ended.err).is_some() && seed(&ended.err) == seed(&again.err),
            "{:?}, then {:?}",
            ended.err,
            again.err
        );
        ensure!(
            again.err.contains("sampling: going on from"),
            "{}",
            again.err
        );
        ensure!(place.files().len() == 1, "left {:?}", place.files());
        // Nothing is left to go on from: another seed.
        if output.is_empty() {
            let third = finish(&place, &arguments(&["--steps", "1"]))?;
            ensure!(seed(&third.err) != seed(&again.err), "{}", third.err);
        }
    }
    Ok(())
}

fn variations() -> Verdict {
    let place = Place::new()?;
    let words = long(&["--seed", "7", "--count", "3", "-o", "b.mp4"]);
    kill_between_steps(&place, &words, "b-8.kinora-state")?;
    let first = fs::metadata(place.path("b-7.mp4")).map_err(text)?;
    let again = finish(&place, &words)?;
    ensure!(
        again.out == "b-7.mp4\nb-8.mp4\nb-9.mp4\n",
        "printed {:?}",
        again.out
    );
    ensure!(!again.err.contains("seed: 7"), "{}", again.err);
    let left: Vec<String> = place.files().into_iter().collect();
    ensure!(left == ["b-7.mp4", "b-8.mp4", "b-9.mp4"], "left {left:?}");
    let now = fs::metadata(place.path("b-7.mp4")).map_err(text)?;
    ensure!(
        first.modified().ok() == now.modified().ok(),
        "b-7.mp4 was written again"
    );
    let alone = Place::new()?;
    finish(&alone, &long(&["--seed", "8", "-o", "b-8.mp4"]))?;
    ensure!(
        fs::read(place.path("b-8.mp4")).ok() == fs::read(alone.path("b-8.mp4")).ok(),
        "b-8.mp4 is another clip"
    );
    // All of them are there, and nothing to go on from.
    let ended = finish(&place, &words)?;
    ensure!(ended.out == again.out, "printed {:?}", ended.out);
    Ok(())
}

fn own_seed() -> Verdict {
    let place = Place::new()?;
    let mut other = some_state();
    other.metadata.extend([
        ("seed".to_owned(), "123456".to_owned()),
        ("run_first_seed".to_owned(), "123456".to_owned()),
    ]);
    let empty = RunState {
        progress: RunProgress::Nothing,
        ..other.clone()
    };
    // Nor does it take its latents for its own.
    let words = arguments(&[
        "--steps",
        "1",
        "-o",
        "b.mp4",
        "--save-latents",
        "l.safetensors",
    ]);
    empty.write(place.path("b.kinora-state")).map_err(text)?;
    fs::write(place.path("l.safetensors"), "another's").map_err(text)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let refused = place.run_on_device(&words)?;
    refused.refused(&["l.safetensors", "--force"])?;
    let left = fs::read(place.path("l.safetensors")).map_err(text)?;
    ensure!(left == b"another's", "the latents were overwritten");
    fs::remove_file(place.path("l.safetensors")).map_err(text)?;
    for (state, more) in [(other, &["--force"][..]), (empty, &[])] {
        let words = arguments(&[&["--steps", "1", "-o", "b.mp4"], more].concat());
        let state_at = place.path("b.kinora-state");
        state.write(&state_at).map_err(text)?;
        let ended = finish(&place, &words)?;
        ensure!(!ended.err.contains("seed: 123456"), "{}", ended.err);
        let made = read_metadata(&place.path("b.mp4")).map_err(text)?;
        let seed = made.iter().find(|(key, _)| key == "seed");
        let told = seed.is_some_and(|(_, seed)| ended.err.contains(&format!("seed: {seed}\n")));
        ensure!(told, "{seed:?} in {}", ended.err);
        fs::remove_file(place.path("b.mp4")).map_err(text)?;
        ensure!(place.files().is_empty(), "left {:?}", place.files());
    }
    Ok(())
}

fn from_elsewhere() -> Verdict {
    let place = Place::new()?;
    fs::create_dir(place.path("runs")).map_err(text)?;
    let words = long(&["--seed", "7", "-o", "runs/b.mp4"]);
    kill_between_steps(&place, &words, "runs/b.kinora-state")?;
    // From another folder, where the paths that were typed mean nothing.
    let other = Place::new()?;
    let state = place.path("runs/b.kinora-state").display().to_string();
    let resume = ["resume", &state].map(str::to_owned);
    let ended = finish(&other, &resume)?;
    let clip = place.path("runs/b.mp4");
    ensure!(
        ended.out.trim_end().ends_with("runs/b.mp4") && clip.exists(),
        "printed {:?}",
        ended.out
    );
    ensure!(other.files().is_empty(), "left {:?}", other.files());
    ensure!(place.files().len() == 2, "left {:?}", place.files());
    // By another name, from a state that was moved.
    kill_between_steps(
        &place,
        &long(&["--seed", "7", "-o", "c.mp4"]),
        "c.kinora-state",
    )?;
    fs::rename(place.path("c.kinora-state"), other.path("d.kinora-state")).map_err(text)?;
    let resume = ["resume", "-o", "e.mp4"].map(str::to_owned);
    let ended = finish(&other, &resume)?;
    ensure!(ended.out.trim_end().ends_with("e.mp4"), "{:?}", ended.out);
    let left: Vec<String> = other.files().into_iter().collect();
    ensure!(left == ["e.mp4"], "left {left:?}");
    ensure!(
        fs::read(clip).ok() == fs::read(other.path("e.mp4")).ok(),
        "e.mp4 is another clip"
    );
    Ok(())
}

/// A run on a disk of its own, which only the shell and what it starts see: `$@` is the program,
/// and `ARGUMENTS` stands for the run's. What has the name `out.mp4` in the end comes back.
fn on_small_disk(place: &Place, kilobytes: u32, script: &str) -> Result<Ended, String> {
    fs::create_dir_all(place.path("disk")).map_err(text)?;
    let words = arguments(&["--seed", "7", "-o", "out.mp4"]);
    let words: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let script = format!(
        "mount -t tmpfs -o size={kilobytes}k none disk || exit 99; cd disk; export TMPDIR=.
        {}; code=$?; mv out.mp4 ..; ls -A; exit $code",
        script.replace("ARGUMENTS", &words.join(" "))
    );
    let mut shell = std::process::Command::new("unshare");
    shell.args(["-rm", "sh", "-c", &script, "sh"]);
    let program = command(true);
    shell.arg(program.get_program()).args(program.get_args());
    shell.env("KINORA_CACHE", "off");
    place.start(shell, &[])?.wait(Duration::from_secs(60))
}

fn no_room() -> Verdict {
    let place = Place::new()?;
    let whole = |quality: &str| -> Result<Vec<u8>, String> {
        let output = [
            "--seed",
            "7",
            "-o",
            "out.mp4",
            "--force",
            "--quality",
            quality,
        ];
        finish(&place, &arguments(&output))?;
        fs::read(place.path("out.mp4")).map_err(text)
    };
    let (small, large) = (whole("0")?, whole("100")?);
    // Of the solver's four tensors.
    let solver = 4 * 4 * (8 * 5 * 6 * 8);
    ensure!(
        small.len() < 8_000 && large.len() > solver,
        "clips of {} and {} bytes, a state of {solver}",
        small.len(),
        large.len()
    );
    let made = || fs::read(place.path("out.mp4")).unwrap_or_default();
    // Room for the clip and not for the four tensors.
    let ended = on_small_disk(&place, 32, "\"$@\" ARGUMENTS --quality 0")?.good()?;
    ensure!(
        ended.err.contains("the run goes on"),
        "no note: {}",
        ended.err
    );
    ensure!(made() == small, "another clip");
    ensure!(ended.out == "out.mp4\n", "left {:?}", ended.out);
    // Room for the latents and not for the clip; then someone makes room.
    let script = "\"$@\" ARGUMENTS --quality 100; mount -o remount,size=1m . || exit 98
        ls -A; \"$@\" resume";
    let ended = on_small_disk(&place, 32, script)?.good()?;
    for word in [
        "disk is full",
        "go on with: kinora resume out.kinora-state",
        "sampling: done already",
    ] {
        ensure!(ended.err.contains(word), "{word:?} is not in {}", ended.err);
    }
    ensure!(made() == large, "another clip");
    ensure!(
        ended.out == "out.kinora-state\nout.mp4\n",
        "left {:?}",
        ended.out
    );
    Ok(())
}

/// A state of a run that never was.
fn some_state() -> RunState {
    RunState {
        progress: RunProgress::Steps(SolverState {
            encoded: Arc::default(),
            shape: [1, 2, 1, 3, 4],
            steps_done: 3,
            tensors: [0.5, -1.0, 2.0, 0.0].map(|value| vec![value; 24]),
        }),
        metadata: [("prompt".to_owned(), "a boat".to_owned())].into(),
    }
}
