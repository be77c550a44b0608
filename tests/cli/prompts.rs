//! Files of prompts: a clip each, and the same command again makes what is missing.

use std::fs;

use crate::clips::text;
use crate::program::{Place, Test, Verdict, command, ensure, tiny};

pub(crate) const TESTS: &[Test] = &[("files_of_prompts_are_checked_before_any_clip", checked)];

pub(crate) const DEVICE_TESTS: &[Test] = &[
    ("a_file_of_prompts_makes_a_clip_each", each),
    ("prompts_are_read_as_people_save_them", saved),
];

fn arguments<'a>(tiny: &'a [String], file: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec!["generate", "--prompts", file];
    words.extend(tiny.iter().map(String::as_str));
    words.extend(more);
    words
}

fn checked() -> Verdict {
    let place = Place::new()?;
    let tiny = tiny();
    for (name, content, words) in [
        (
            "a.csv",
            "prompt,stepz\na boat,9\n",
            ["a.csv, line 2", "stepz"],
        ),
        (
            "b.csv",
            "prompt,fps\na boat,16\na train,0\n",
            ["b.csv, line 3", "fps is 0"],
        ),
        (
            "c.jsonl",
            "{\"prompt\":\"a\"}\n{\"steps\":3}\n",
            ["c.jsonl, line 2", "no prompt"],
        ),
        ("d.txt", "\n# none\n", ["d.txt", "no prompts"]),
    ] {
        fs::write(place.path(name), content).map_err(text)?;
        let before = place.files();
        let ended = place.run(&arguments(&tiny, name, &[]))?;
        ended.refused(&words).map_err(|e| format!("{name}: {e}"))?;
        ensure!(place.files() == before, "{name}: files are left");
    }
    fs::write(place.path("e.txt"), "a boat\n").map_err(text)?;
    let named = place.run(&arguments(&tiny, "e.txt", &["-o", "boat.mp4"]))?;
    named.refused(&["-o names a file", "folder"])?;
    place
        .run(&arguments(&tiny, "absent.txt", &[]))?
        .refused(&["absent.txt"])
}

fn each() -> Verdict {
    let place = Place::new()?;
    let tiny = tiny();
    let rows = "prompt,seed,frames\na red boat,7,\na train,,5\n";
    fs::write(place.path("p.csv"), rows).map_err(text)?;
    let words = arguments(&tiny, "p.csv", &["-o", "clips/"]);
    let first = place.run_on_device(&words)?.good()?;
    let clips: Vec<&str> = first.out.lines().collect();
    ensure!(clips.len() == 2, "{:?}", first.out);
    let bytes = |clip: &str| fs::read(place.path(clip)).map_err(text);
    let [boat, train] = [bytes(clips[0])?, bytes(clips[1])?];
    let shown = place.run(&["show", clips[1], "--json"])?.good()?;
    for entry in ["\"seed\": 0", "\"frames\": 5"] {
        ensure!(shown.out.contains(entry), "{entry}: {}", shown.out);
    }
    // The same command keeps what is there and makes what is missing, the same.
    fs::remove_file(place.path(clips[0])).map_err(text)?;
    let again = place.run_on_device(&words)?.good()?;
    ensure!(again.out == first.out, "{:?}, {:?}", again.out, first.out);
    ensure!(
        again.err.matches("kept, this command made it").count() == 1,
        "{}",
        again.err
    );
    ensure!(
        [bytes(clips[0])?, bytes(clips[1])?] == [boat, train],
        "other clips"
    );
    Ok(())
}

fn saved() -> Verdict {
    let place = Place::new()?;
    let tiny = tiny();
    let units = "\u{feff}a café\n".encode_utf16();
    let wide: Vec<u8> = units.flat_map(u16::to_le_bytes).collect();
    let mut words = vec!["generate", "-", "--seed", "3", "-o", "c.mp4"];
    words.extend(tiny.iter().map(String::as_str));
    place.feed(command(true), &words, &wide)?.good()?;
    let shown = place.run(&["show", "c.mp4"])?.good()?;
    ensure!(shown.out.contains("a café\n"), "{}", shown.out);
    Ok(())
}
