//! Where clips go: folders, pictures, standard output, links; and one run at a time.

use std::fs;
use std::time::{Duration, Instant};

use crate::clips::text;
use crate::program::{Ended, Place, Test, Verdict, command, ensure, tiny, tiny_model};

pub(crate) const WORDS: &[Test] = &[
    ("names_that_are_too_long_are_refused", long_names),
    ("outputs_that_cannot_be_are_refused", refused),
];

pub(crate) const TESTS: &[Test] = &[
    ("a_folder_gets_the_clip_by_its_own_name", folders),
    ("clips_of_the_same_command_are_kept", kept),
    ("one_frame_may_be_a_picture", still),
    #[cfg(unix)]
    ("a_clip_goes_to_standard_output", stream),
    #[cfg(unix)]
    ("a_link_stays_and_leads_to_the_clip", link),
    #[cfg(unix)]
    ("a_run_has_its_output_for_itself", busy),
    ("names_that_nobody_chose_are_reserved", reserved),
];

/// A command with the tiny model that takes a moment.
fn words<'a>(model: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let short = ["generate", "a boat", "--width", "64", "--height", "48"];
    let length = ["--frames", "5", "--steps", "1", "--model", model];
    [&short, &length, more].concat()
}

fn generate(place: &Place, more: &[&str]) -> Result<Ended, String> {
    place.run_on_device(&words(&tiny_model().display().to_string(), more))
}

fn list(place: &Place) -> Vec<String> {
    place.files().into_iter().collect()
}

fn long_names() -> Verdict {
    let place = Place::new()?;
    let model = tiny_model().display().to_string();
    let named = |length: usize, ending: &str| "n".repeat(length) + ending;
    // The clip, its state, one of several, the latents.
    let (clip, state) = (named(260, ".mp4"), named(247, ".mp4"));
    let latents = named(250, ".safetensors");
    let cases: [(&[&str], &str); 4] = [
        (&["-o", &clip], "n.mp4"),
        (&["-o", &state], ".kinora-state"),
        (
            &["-o", &state, "--count", "2", "--seed", "123456"],
            "-123456",
        ),
        (&["-o", "a.mp4", "--save-latents", &latents], ".safetensors"),
    ];
    for (more, word) in cases {
        let ended = place.run(&words(&model, more))?;
        ended.refused(&["too long", "shorter", word])?;
        ensure!(!ended.err.contains("device:"), "{}", ended.err);
    }
    ensure!(place.files().is_empty(), "left {:?}", place.files());
    Ok(())
}

fn refused() -> Verdict {
    let place = Place::new()?;
    let model = tiny_model().display().to_string();
    let cases: [(&[&str], &[&str]); 5] = [
        (&["-o", "none/deeper/"], &["none/deeper", "does not exist"]),
        // A folder that was made for a run that never was.
        (
            &["-o", "new/", "--save-latents", "l.txt"],
            &[".safetensors"],
        ),
        (&["-o", "a.png"], &["a.png", "one frame", "5"]),
        (&["-o", "-", "--count", "2"], &["--count"]),
        (&["-o", "a.mkv"], &["a.mkv", ".mp4"]),
    ];
    for (more, sentence) in cases {
        place.run(&words(&model, more))?.refused(sentence)?;
        ensure!(
            place.files().is_empty(),
            "{more:?} left {:?}",
            place.files()
        );
    }
    Ok(())
}

fn folders() -> Verdict {
    let place = Place::new()?;
    let made = generate(&place, &["-o", "new/", "--seed", "7"])?.good()?;
    ensure!(made.out == "new/a-boat-7.mp4\n", "printed {:?}", made.out);
    let made = generate(&place, &["-o", "new", "--seed", "7"])?.good()?;
    ensure!(made.out == "new/a-boat-7-2.mp4\n", "printed {:?}", made.out);
    let decode = [
        "--latents",
        "l.safetensors",
        "--model",
        &tiny_model().display().to_string(),
        "-o",
        "new",
    ];
    generate(&place, &["-o", "a.mp4", "--save-latents", "l.safetensors"])?.good()?;
    let made = place
        .run_on_device(&[&["decode"], &decode[..]].concat())?
        .good()?;
    ensure!(made.out == "new/l.mp4\n", "printed {:?}", made.out);
    let left = [
        "a.mp4",
        "l.safetensors",
        "new",
        "new/a-boat-7-2.mp4",
        "new/a-boat-7.mp4",
    ];
    ensure!(
        list(&place) == [&left[..], &["new/l.mp4"]].concat(),
        "left {:?}",
        place.files()
    );
    Ok(())
}

fn kept() -> Verdict {
    let place = Place::new()?;
    for output in [&["-o", "b.mp4"] as &[&str], &[]] {
        let more = [output, &["--seed", "7", "--count", "3"]].concat();
        let made = generate(&place, &more)?.good()?;
        let stem = if output.is_empty() { "a-boat" } else { "b" };
        let clip = |seed: u32| place.path(&format!("{stem}-{seed}.mp4"));
        let read = |seed: u32| fs::read(clip(seed)).map_err(text);
        let dates = || [7, 9].map(|seed| fs::metadata(clip(seed)).and_then(|f| f.modified()).ok());
        let (eight, before) = (read(8)?, dates());
        fs::remove_file(clip(8)).map_err(text)?;
        let again = generate(&place, &more)?.good()?;
        ensure!(again.out == made.out, "printed {:?}", again.out);
        ensure!(read(8)? == eight && dates() == before, "{}", again.err);
        ensure!(
            again.err.contains(&format!("{stem}-7.mp4: kept")),
            "{}",
            again.err
        );
        ensure!(!again.err.contains("seed: 7"), "{}", again.err);
        // None is missing.
        let again = generate(&place, &more)?.good()?;
        ensure!(
            again.out == made.out && !again.err.contains("sampling"),
            "{}",
            again.err
        );
    }
    // Another command's are not: of those that were named, and of those that make way.
    let other = ["--steps", "2", "--seed", "7", "--count", "2"];
    generate(&place, &[&other, &["-o", "b.mp4"][..]].concat())?.refused(&["b-7.mp4", "--force"])?;
    let made = generate(&place, &other)?.good()?;
    ensure!(
        made.out == "a-boat-7-2.mp4\na-boat-8-2.mp4\n",
        "printed {:?}",
        made.out
    );
    ensure!(place.files().len() == 8, "left {:?}", place.files());
    Ok(())
}

fn still() -> Verdict {
    let place = Place::new()?;
    let one = [
        "--frames",
        "1",
        "--seed",
        "7",
        "-o",
        "a.png",
        "--frames-dir",
        "f",
    ];
    let made = generate(&place, &one)?.good()?;
    ensure!(made.out == "a.png\n", "printed {:?}", made.out);
    let pixels = |name: &str| -> Result<(u32, u32, Vec<u8>), String> {
        let file = fs::File::open(place.path(name)).map_err(text)?;
        let mut reader = png::Decoder::new(std::io::BufReader::new(file))
            .read_info()
            .map_err(text)?;
        let mut bytes = vec![0; reader.output_buffer_size().unwrap_or_default()];
        let info = reader.next_frame(&mut bytes).map_err(text)?;
        Ok((info.width, info.height, bytes))
    };
    let (width, height, found) = pixels("a.png")?;
    ensure!((width, height) == (64, 48), "{width}x{height}");
    ensure!(
        found == pixels("f/00000.png")?.2,
        "another picture than among the frames"
    );
    let shown = place.run(&["show", "a.png"])?.good()?.out;
    for word in ["64x48", "a boat", "seed             7"] {
        ensure!(shown.contains(word), "{word:?} is not in {shown}");
    }
    let printed = place.run(&["show", "a.png", "--command"])?.good()?.out;
    ensure!(
        printed.contains("--frames=1 ") && printed.contains("--seed=7"),
        "{printed}"
    );
    generate(&place, &one)?.refused(&["a.png", "--force"])
}

/// Runs the program through a shell; `$@` in the script is the program and its words.
#[cfg(unix)]
fn shell(place: &Place, script: &str, words: &[&str]) -> Result<Ended, String> {
    let program = command(true);
    let mut shell = std::process::Command::new("sh");
    shell
        .args(["-c", script, "sh"])
        .arg(program.get_program())
        .args(program.get_args());
    shell.env("KINORA_CACHE", "off");
    place.feed(shell, words, &[])
}

#[cfg(unix)]
fn stream() -> Verdict {
    let place = Place::new()?;
    let model = tiny_model().display().to_string();
    let words = |output| words(&model, &["--seed", "7", "-o", output]);
    let said = shell(&place, "\"$@\" > out", &words("-"))?.good()?.err;
    ensure!(said.contains("standard output: 64x48"), "{said}");
    generate(&place, &["--seed", "7", "-o", "a.mp4"])?.good()?;
    let read = |name| fs::read(place.path(name)).map_err(text);
    ensure!(
        read("out")? == read("a.mp4")?,
        "another clip on standard output"
    );
    ensure!(list(&place) == ["a.mp4", "out"], "left {:?}", place.files());
    // Nobody reads: the run is kept, and goes on to another output.
    let script = "exec 3>&1; { \"$@\"; echo $? >&3; } | true";
    let ended = shell(&place, script, &words("-"))?;
    ensure!(
        ended.out == "1\n",
        "exit code {:?}: {}",
        ended.out,
        ended.err
    );
    ensure!(
        ended.err.contains("kinora resume a-boat-7.kinora-state"),
        "{}",
        ended.err
    );
    let resumed = shell(&place, "\"$@\" > out", &["resume"])?.good()?;
    ensure!(
        resumed.err.contains("sampling: done already"),
        "{}",
        resumed.err
    );
    ensure!(
        read("out")? == read("a.mp4")?,
        "another clip after the break"
    );
    ensure!(list(&place) == ["a.mp4", "out"], "left {:?}", place.files());
    Ok(())
}

#[cfg(unix)]
fn link() -> Verdict {
    let place = Place::new()?;
    fs::create_dir(place.path("far")).map_err(text)?;
    fs::write(place.path("far/b.mp4"), "old").map_err(text)?;
    std::os::unix::fs::symlink("far/b.mp4", place.path("a.mp4")).map_err(text)?;
    generate(&place, &["-o", "a.mp4"])?.refused(&["a.mp4", "--force"])?;
    let made = generate(&place, &["-o", "a.mp4", "--force"])?.good()?;
    ensure!(made.out == "a.mp4\n", "printed {:?}", made.out);
    ensure!(place.path("a.mp4").is_symlink(), "the link is gone");
    let info = kinora::media::probe(&place.path("far/b.mp4")).map_err(text)?;
    ensure!(info.frames == 5, "{info:?}");
    ensure!(
        list(&place) == ["a.mp4", "far", "far/b.mp4"],
        "left {:?}",
        place.files()
    );
    Ok(())
}

#[cfg(unix)]
fn busy() -> Verdict {
    let place = Place::new()?;
    let tiny = tiny();
    let mut long = vec!["generate", "a boat"];
    long.extend(tiny.iter().map(String::as_str));
    long.extend(["--steps", "1000", "--seed", "7", "-o", "a.mp4"]);
    let mut running = place.start(command(true), &long)?;
    running.says("sampling")?;
    std::thread::sleep(Duration::from_millis(200));
    // Before any device: refused at once.
    for words in [&long[..], &["resume", "a.mp4"], &["resume"]] {
        let begun = Instant::now();
        let ended = place.run(words)?;
        ended.refused(&["a.kinora-state", "another run"])?;
        println!("refused after {:.2} s", begun.elapsed().as_secs_f64());
        ensure!(
            begun.elapsed() < Duration::from_secs(1),
            "{:?}",
            begun.elapsed()
        );
    }
    running.signal("KILL")?;
    running.wait(Duration::from_secs(20))?;
    // What is left of a killed run keeps nobody away.
    let mut again = place.start(command(true), &long)?;
    again.says("sampling: going on from")?;
    again.signal("INT")?;
    again.wait(Duration::from_secs(20))?.exits(130)?;
    ensure!(
        list(&place) == ["a.kinora-state"],
        "left {:?}",
        place.files()
    );
    Ok(())
}

fn reserved() -> Verdict {
    let place = Place::new()?;
    let model = tiny_model().display().to_string();
    let words = words(&model, &["--seed", "7"]);
    let running = [(), ()].map(|()| place.start(command(true), &words));
    let mut names = Vec::new();
    for running in running {
        names.push(running?.wait(Duration::from_secs(60))?.good()?.out);
    }
    names.sort();
    ensure!(
        names == ["a-boat-7-2.mp4\n", "a-boat-7.mp4\n"],
        "named {names:?}"
    );
    ensure!(place.files().len() == 2, "left {:?}", place.files());
    Ok(())
}
