//! Nothing of a run is lost: however it ended, the next one goes on from there and makes the same
//! clip, bit for bit.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use kinora::media::read_metadata;
use kinora::weights::{RunState, Sample, Sampled};

use crate::bad_input;
use crate::clips::text;
use crate::program::{Ended, Place, Running, Test, Verdict, command, ensure, tiny_model};

pub(crate) const WORDS: &[Test] = &[("what_is_no_state_is_refused", no_states)];

#[cfg(unix)]
pub(crate) const TESTS: &[Test] = &[
    ("killed_runs_make_the_same_clip", killed),
    ("the_same_command_finds_a_drawn_seed", drawn_seed),
    ("variations_go_on_where_they_were", variations),
    ("another_runs_state_is_not_overwritten", another_run),
    ("a_state_says_all_that_its_run_needs", from_elsewhere),
    (
        "a_run_does_not_go_on_with_another_tokenizer",
        another_tokenizer,
    ),
    ("a_run_that_begins_anew_has_a_seed_of_its_own", own_seed),
];
#[cfg(not(unix))]
pub(crate) const TESTS: &[Test] = &[];

#[cfg(target_os = "linux")]
pub(crate) const DISK_TESTS: &[Test] = &[("a_run_outlives_a_disk_without_room", no_room)];
#[cfg(not(target_os = "linux"))]
pub(crate) const DISK_TESTS: &[Test] = &[];

/// How many runs are killed.
const KILLS: usize = 50;

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

/// Starts a run and kills it so long after it began; `None` where it was faster.
fn kill(place: &Place, words: &[String], after: Duration) -> Result<Option<String>, String> {
    let mut running = start(place, words)?;
    // It may be done without a word of this: the clip was whole.
    let _ = running.says("seed:");
    std::thread::sleep(after);
    let _ = running.signal("KILL");
    let ended = running.wait(Duration::from_secs(20))?;
    match ended.code {
        None => Ok(Some(ended.err)),
        Some(_) => ended.good().map(|_| None),
    }
}

/// Every file in the folder with its bytes.
fn contents(place: &Place) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let files = place.files().into_iter();
    let files = files.filter(|name| place.path(name).is_file());
    files
        .map(|name| Ok((name.clone(), fs::read(place.path(&name)).map_err(text)?)))
        .collect()
}

/// Numbers below `below`, the same in every run of the tests.
struct Dice(u64);

impl Dice {
    fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005);
        self.0 = self.0.wrapping_add(1442695040888963407);
        (self.0 >> 33) % below.max(1)
    }
}

fn killed() -> Verdict {
    let outputs = [
        "--seed",
        "7",
        "-o",
        "a.mp4",
        "--save-latents",
        "a.safetensors",
        "--frames-dir",
        "f",
    ];
    let words = arguments(&outputs);
    let whole = Place::new()?;
    let mut running = start(&whole, &words)?;
    running.says("seed:")?;
    let begun = Instant::now();
    running.wait(Duration::from_secs(60))?.good()?;
    let length = begun.elapsed();
    let expected = contents(&whole)?;
    ensure!(expected.len() == 2 + 17, "{:?}", expected.keys());

    let ways = [
        words.clone(),
        vec!["resume".into()],
        vec!["resume".into(), "a.mp4".into()],
    ];
    let mut dice = Dice(20_250_727);
    let (mut kills, mut runs, mut between, mut decoding) = (0, 0, 0, 0);
    while kills < KILLS {
        let place = Place::new()?;
        let mut way = 0;
        let mut at_most = 6;
        runs += 1;
        loop {
            let after = length.mul_f64(dice.below(1000) as f64 / 1000.0);
            let after = if at_most == 0 { length * 20 } else { after };
            let said = match at_most {
                0 => finish(&place, &ways[way]).map(|_| None),
                _ => kill(&place, &ways[way], after),
            };
            let said = said.map_err(|e| format!("run {runs} after {kills} kills: {e}"))?;
            let Some(said) = said else { break };
            kills += 1;
            at_most -= 1;
            between += usize::from(said.contains("sampling: going on from"));
            decoding += usize::from(said.contains("sampling: done already"));
            let done = place.path("a.mp4").exists() && !place.path("a.kinora-state").exists();
            if done {
                break;
            }
            way = dice.below(3) as usize;
        }
        let found = contents(&place)?;
        ensure!(
            found.keys().eq(expected.keys()),
            "run {runs} left {:?}",
            found.keys()
        );
        for (name, bytes) in &expected {
            ensure!(found[name] == *bytes, "{name} of run {runs} is another");
        }
    }
    println!(
        "{kills} kills in {runs} runs of {:.2} s: {between} went on from between two steps, {decoding} with decoding",
        length.as_secs_f64()
    );
    ensure!(between > 0 && decoding > 0, "the kills came at one moment");
    Ok(())
}

/// Kills a run when some of its steps are kept.
fn kill_between_steps(place: &Place, words: &[String], state: &str) -> Verdict {
    let mut running = start(place, words)?;
    let path = place.path(state);
    let deadline = Instant::now() + Duration::from_secs(60);
    let is_kept = || matches!(RunState::read(&path), Ok(s) if s.sampled != Sampled::Nothing);
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
    let ended = start(&place, &words)?.wait(Duration::from_secs(60))?;
    ended.refused(&["b-7.mp4", "--force"])
}

fn another_run() -> Verdict {
    let place = Place::new()?;
    let words = |more: &[&str]| {
        let words = [&["--seed", "7", "-o", "b.mp4"], more].concat();
        long(&words)
    };
    kill_between_steps(&place, &words(&[]), "b.kinora-state")?;
    let kept = contents(&place)?;
    let try_it = |more: &[&str]| start(&place, &words(more))?.wait(Duration::from_secs(60));
    let cases: [(&[&str], &str); 3] = [
        (&["--guidance", "3"], "guidance"),
        (&["--seed", "8"], "seed"),
        (&["--steps", "3"], "steps"),
    ];
    for (more, key) in cases {
        let ended = try_it(more)?;
        ended.refused(&["b.kinora-state", "kinora resume", "--force", key])?;
        ensure!(contents(&place)? == kept, "{more:?} changed something");
    }
    // What changes no latents is no other run; --force is meant.
    let ended = try_it(&["--fps", "12", "--quality", "90"])?.good()?;
    ensure!(ended.err.contains("going on from"), "{}", ended.err);
    ensure!(place.files().len() == 1, "left {:?}", place.files());
    fs::remove_file(place.path("b.mp4")).map_err(text)?;
    fs::write(place.path("b.kinora-state"), &kept["b.kinora-state"]).map_err(text)?;
    let ended = try_it(&["--steps", "3", "--force"])?.good()?;
    ensure!(!ended.err.contains("going on from"), "{}", ended.err);
    ensure!(place.files().len() == 1, "left {:?}", place.files());
    Ok(())
}

fn another_tokenizer() -> Verdict {
    let place = Place::new()?;
    bad_input::model(&place)?;
    let mut words = long(&["--seed", "7", "-o", "b.mp4"]);
    let own = tiny_model().display().to_string();
    words
        .iter_mut()
        .filter(|word| **word == own)
        .for_each(|word| *word = "model".to_owned());
    kill_between_steps(&place, &words, "b.kinora-state")?;
    // The same tokens for now, but nobody looks at all of them.
    let tokenizer = place.path("model/tokenizer/tokenizer.json");
    let json = fs::read_to_string(&tokenizer).map_err(text)?;
    fs::write(&tokenizer, format!("{json} ")).map_err(text)?;
    for words in [&["resume".to_owned()][..], &words] {
        let ended = start(&place, words)?.wait(Duration::from_secs(60))?;
        ended.refused(&["b.kinora-state", "the hash of its tokenizer is", "--force"])?;
    }
    // A version that did not look at tokenizers kept it: it goes on.
    let state = place.path("b.kinora-state");
    let mut kept = RunState::read(&state).map_err(text)?;
    let hash = kept.metadata.remove("tokenizer_hash");
    ensure!(hash.is_some_and(|hash| hash.len() == 64), "no hash");
    kept.write(&state).map_err(text)?;
    let ended = finish(&place, &["resume".to_owned()])?;
    ensure!(ended.err.contains("going on from"), "{}", ended.err);
    let made = read_metadata(&place.path("b.mp4")).map_err(text)?;
    let has_hash = made.iter().any(|(key, _)| key == "tokenizer_hash");
    ensure!(has_hash, "{made:?}");
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
        sampled: Sampled::Nothing,
        ..other.clone()
    };
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
        sampled: Sampled::Part(Sample {
            shape: [1, 2, 1, 3, 4],
            steps_done: 3,
            tensors: [0.5, -1.0, 2.0, 0.0].map(|value| vec![value; 24]),
        }),
        metadata: [("prompt".to_owned(), "a boat".to_owned())].into(),
    }
}

fn no_states() -> Verdict {
    let place = Place::new()?;
    place.run(&["resume"])?.refused(&["no unfinished run"])?;
    place
        .run(&["resume", "a.mp4"])?
        .refused(&["a.kinora-state"])?;
    some_state().write(place.path("good")).map_err(text)?;
    let good = fs::read(place.path("good")).map_err(text)?;
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 4;
        bytes
    };
    let latents = kinora::weights::Latents {
        shape: [1, 1, 1, 1, 2],
        values: vec![0.5; 2],
        metadata: [].into(),
    };
    latents.write(place.path("latents")).map_err(text)?;
    let cases: [(&str, Vec<u8>); 7] = [
        ("nothing", Vec::new()),
        (
            "text",
            b"This is no state, though its name says so.".to_vec(),
        ),
        ("half", good[..good.len() / 2].to_vec()),
        ("short", good[..good.len() - 1].to_vec()),
        ("changed", flipped(good.len() - 5)),
        ("renamed", flipped(good.len() / 4)),
        ("foreign", fs::read(place.path("latents")).map_err(text)?),
    ];
    let model = tiny_model().display().to_string();
    for (name, bytes) in cases {
        let state = format!("{name}.kinora-state");
        fs::write(place.path(&state), bytes).map_err(text)?;
        let clip = format!("{name}.mp4");
        let generate = [
            "generate", "a boat", "--model", &model, "-o", &clip, "--seed", "7",
        ];
        let before = contents(&place)?;
        for words in [
            &["resume", &clip] as &[&str],
            &["resume", &state],
            &generate,
        ] {
            let ended = place.run(words)?;
            ended
                .refused(&[&state])
                .map_err(|e| format!("{name}: {words:?}: {e}"))?;
            ensure!(contents(&place)? == before, "{words:?} changed something");
        }
    }
    place
        .run(&["resume"])?
        .refused(&["several", "half.kinora-state"])?;
    // Good, but not of a command.
    fs::write(place.path("a.kinora-state"), &good).map_err(text)?;
    place
        .run(&["resume", "a.mp4"])?
        .refused(&["a.kinora-state", "how its run was started"])
}
