//! What no run goes on from: another run's state, and what is none.

use std::fs;
use std::time::Duration;

use kinora::media::read_metadata;
use kinora::weights::RunState;

use super::{contents, finish, kill_between_steps, long, some_state, start};
use crate::bad_input;
use crate::clips::text;
use crate::program::{Place, Verdict, ensure, tiny_model};

pub(super) fn another_run() -> Verdict {
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

pub(super) fn another_tokenizer() -> Verdict {
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

pub(super) fn no_states() -> Verdict {
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
