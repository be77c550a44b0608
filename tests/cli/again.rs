//! What a clip and its latents say of themselves, and that they are made again by it.

use std::fs;

use kinora::media::{probe, read_metadata};
use kinora::weights::Latents;

use crate::clips::{frames, latents, text};
use crate::program::{Place, Test, Verdict, command, ensure, tiny_model};

pub(crate) const TESTS: &[Test] = &[
    ("a_clip_says_what_made_it_and_is_made_again", made_again),
    ("the_starter_needs_no_model", the_starter_needs_no_model),
    ("latents_are_decoded_to_the_same_clip", latents_are_decoded),
    ("metadata_can_be_left_out", metadata_can_be_left_out),
];

fn made_again() -> Verdict {
    let place = Place::new()?;
    let prompt = "-it's a \"red\" kite, $HOME `pwd` \\ *\nand a second line; 海";
    let options = ["--", prompt];
    let first = [
        "--negative-prompt",
        "blurred 'edges'",
        "--fps",
        "23.976",
        "--guidance",
        "3.7",
        "--shift",
        "2.5",
        "--scheduler",
        "euler",
        "--seed",
        "4294967295",
        "--save-latents",
        "a.safetensors",
        "-o",
        "a.mp4",
    ];
    let tiny = crate::program::tiny();
    let mut arguments = vec!["generate"];
    arguments.extend(tiny.iter().map(String::as_str));
    arguments.extend(first);
    arguments.extend(options);
    let ended = place.run_on_device(&arguments)?.good()?;
    ensure!(ended.out == "a.mp4\n", "printed {:?}", ended.out);
    ensure!(
        ended.err.contains("device: ") && ended.err.contains("seed: 4294967295"),
        "{}",
        ended.err
    );

    let clip = place.path("a.mp4");
    let info = probe(&clip).map_err(text)?;
    ensure!(
        (info.width, info.height, info.frames) == (64, 48, 9),
        "{info:?}"
    );
    ensure!(info.fps.to_string().starts_with("23.976"), "{}", info.fps);
    let decoded = frames(&clip)?;
    ensure!(decoded.len() == 9, "{} frames", decoded.len());

    let metadata = read_metadata(&clip).map_err(text)?;
    let keys: Vec<&str> = metadata.iter().map(|(key, _)| key.as_str()).collect();
    for key in [
        "prompt",
        "negative_prompt",
        "seed",
        "steps",
        "guidance",
        "scheduler",
        "width",
        "height",
        "frames",
        "model",
        "model_hash",
        "kinora",
    ] {
        ensure!(keys.contains(&key), "{key} is not in {keys:?}");
    }
    ensure!(
        metadata.contains(&("prompt".to_owned(), prompt.to_owned())),
        "{metadata:?}"
    );
    let shown = place.run(&["show", "a.mp4"])?.good()?.out;
    for word in ["64x48", "9 frames", "4294967295", "blurred 'edges'"] {
        ensure!(shown.contains(word), "{word} is not in {shown}");
    }
    let json = place.run(&["show", "a.mp4", "--json"])?.good()?.out;
    let json: serde_json::Value = serde_json::from_str(&json).map_err(text)?;
    ensure!(json["prompt"] == prompt, "{json}");

    let printed = place.run(&["show", "a.mp4", "--command"])?.good()?.out;
    again(&place, &printed)?;
    let (a, b) = (
        latents(&place.path("a.safetensors"))?,
        latents(&place.path("b.safetensors"))?,
    );
    let equal = a
        .values
        .iter()
        .zip(&b.values)
        .all(|(a, b)| a.to_bits() == b.to_bits());
    ensure!(
        a.shape == b.shape && equal,
        "the printed command made other latents: {printed}"
    );
    ensure!(
        fs::read(&clip).ok() == fs::read(place.path("b.mp4")).ok(),
        "the printed command made another clip"
    );
    Ok(())
}

/// Runs a printed command in a shell, as a person would, with other names for the results.
fn again(place: &Place, printed: &str) -> Verdict {
    let program = command(true);
    let words: Vec<_> = std::iter::once(program.get_program())
        .chain(program.get_args())
        .collect();
    let words: Vec<String> = words.iter().map(|w| format!("'{}'", w.display())).collect();
    let names = "--save-latents b.safetensors -o b.mp4";
    let printed =
        printed
            .trim_end()
            .replacen("kinora generate", &format!("kinora generate {names}"), 1);
    let mut shell = std::process::Command::new("sh");
    shell.args([
        "-c",
        &format!("kinora() {{ {} \"$@\"; }}\n{printed}\n", words.join(" ")),
    ]);
    place.feed(shell, &[], &[])?.good().map(drop)
}

fn the_starter_needs_no_model() -> Verdict {
    let place = Place::new()?;
    let ended = place.run_on_device(&[
        "generate",
        "a blue boat sails to the right",
        "--frames",
        "5",
        "--steps",
        "2",
        "--seed",
        "3",
        "--width",
        "64",
        "--height",
        "64",
        "--save-latents",
        "a.safetensors",
    ])?;
    let name = ended.good()?.out;
    ensure!(
        name == "a-blue-boat-sails-to-the-right-3.mp4\n",
        "named {name:?}"
    );
    let printed = place
        .run(&["show", name.trim_end(), "--command"])?
        .good()?
        .out;
    ensure!(!printed.contains("--model"), "{printed}");
    again(&place, &printed)?;
    ensure!(
        latents(&place.path("a.safetensors"))?.values
            == latents(&place.path("b.safetensors"))?.values,
        "other latents"
    );
    // A name that nobody chose makes way.
    let twice = place.run_on_device(&[
        "generate",
        "a blue boat sails to the right",
        "--frames",
        "1",
        "--steps",
        "1",
        "--seed",
        "3",
        "--width",
        "64",
        "--height",
        "64",
    ])?;
    let name = twice.good()?.out;
    ensure!(
        name == "a-blue-boat-sails-to-the-right-3-2.mp4\n",
        "named {name:?}"
    );
    Ok(())
}

fn latents_are_decoded() -> Verdict {
    let place = Place::new()?;
    place
        .generate(
            "a boat",
            &[
                "--width",
                "50",
                "--fps",
                "12",
                "--save-latents",
                "a.safetensors",
                "-o",
                "a.mp4",
            ],
        )?
        .good()?;
    let saved = latents(&place.path("a.safetensors"))?;
    ensure!(saved.shape == [1, 8, 3, 6, 8], "{:?}", saved.shape);
    let model = tiny_model().display().to_string();
    let ended = place
        .run_on_device(&[
            "decode",
            "--latents",
            "a.safetensors",
            "--model",
            &model,
            "-o",
            "b.mp4",
        ])?
        .good()?;
    ensure!(ended.out == "b.mp4\n", "printed {:?}", ended.out);
    ensure!(
        fs::read(place.path("a.mp4")).ok() == fs::read(place.path("b.mp4")).ok(),
        "another clip"
    );
    // As diffusers would hand them over: no word about size, rate or prompt.
    let bare = Latents {
        metadata: [].into(),
        ..saved
    };
    bare.write(place.path("bare.safetensors")).map_err(text)?;
    let ended = place
        .run_on_device(&["decode", "--latents", "bare.safetensors", "--model", &model])?
        .good()?;
    ensure!(ended.out == "bare.mp4\n", "printed {:?}", ended.out);
    let info = probe(&place.path("bare.mp4")).map_err(text)?;
    ensure!(
        (info.width, info.height, info.frames) == (64, 48, 9),
        "{info:?}"
    );
    // The starter's latents have other channels.
    let ended = place.run_on_device(&["decode", "--latents", "bare.safetensors", "-o", "c.mp4"])?;
    ended.refused(&["latents"])?;
    ensure!(!place.path("c.mp4").exists(), "c.mp4 was written");
    Ok(())
}

fn metadata_can_be_left_out() -> Verdict {
    let place = Place::new()?;
    place
        .generate(
            "a secret",
            &[
                "--no-metadata",
                "-o",
                "a.mp4",
                "--save-latents",
                "a.safetensors",
            ],
        )?
        .good()?;
    for name in ["a.mp4", "a.safetensors"] {
        let bytes = fs::read(place.path(name)).map_err(text)?;
        ensure!(
            !bytes.windows(8).any(|w| w == b"a secret"),
            "the prompt is in {name}"
        );
    }
    place
        .run(&["show", "a.mp4"])?
        .refused(&["a.mp4", "--no-metadata"])
}
