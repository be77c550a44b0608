//! Clips from the first word to the last byte, with the small random model of the fixtures and with
//! the starter.

use std::fs::{self, File};
use std::path::Path;

use kinora::media::{decode, probe, read_metadata};
use kinora::weights::Latents;

use crate::program::{Place, Test, Verdict, command, ensure, tiny_model};

pub(crate) const TESTS: &[Test] = &[
    ("a_clip_says_what_made_it_and_is_made_again", made_again),
    ("the_starter_needs_no_model", the_starter_needs_no_model),
    ("variations_have_seeds_one_apart", variations),
    ("latents_are_decoded_to_the_same_clip", latents_are_decoded),
    ("sizes_are_cropped_and_frames_rounded", sizes_are_cropped),
    ("frames_are_written_as_pictures", frames_are_pictures),
    ("metadata_can_be_left_out", metadata_can_be_left_out),
    ("quiet_is_quiet", quiet_is_quiet),
    ("files_are_replaced_only_by_force", force),
    ("info_describes_device_and_model", info),
];

fn text<E: std::fmt::Display>(error: E) -> String {
    error.to_string()
}

fn latents(path: &Path) -> Result<Latents, String> {
    Latents::read(path).map_err(text)
}

/// The frames of a clip, decoded.
fn frames(path: &Path) -> Result<Vec<kinora::media::Frame>, String> {
    decode(path)
        .map_err(text)?
        .map(|frame| frame.map_err(text))
        .collect()
}

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

fn variations() -> Verdict {
    let place = Place::new()?;
    let options = [
        "--seed",
        "41",
        "--count",
        "2",
        "-o",
        "boat.mp4",
        "--save-latents",
        "l.safetensors",
        "--frames-dir",
        "f",
    ];
    let ended = place.generate("a boat", &options)?.good()?;
    ensure!(
        ended.out == "boat-41.mp4\nboat-42.mp4\n",
        "printed {:?}",
        ended.out
    );
    let alone = [
        "--seed",
        "42",
        "-o",
        "alone.mp4",
        "--save-latents",
        "alone.safetensors",
    ];
    place.generate("a boat", &alone)?.good()?;
    let second = latents(&place.path("l-42.safetensors"))?;
    ensure!(
        second.values == latents(&place.path("alone.safetensors"))?.values,
        "seed 42 alone makes another clip"
    );
    ensure!(
        second.values != latents(&place.path("l-41.safetensors"))?.values,
        "two seeds made one clip"
    );
    ensure!(
        place.path("f/41/00008.png").exists() && place.path("f/42/00008.png").exists(),
        "{:?}",
        place.files()
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

fn sizes_are_cropped() -> Verdict {
    let place = Place::new()?;
    let ended = place
        .generate(
            "a boat",
            &[
                "--width", "50", "--height", "33", "--frames", "7", "-o", "a.mp4",
            ],
        )?
        .good()?;
    for note in ["50x33", "64x48", "7 frames become 9", "repeated once"] {
        ensure!(ended.err.contains(note), "{note:?} is not in {}", ended.err);
    }
    let info = probe(&place.path("a.mp4")).map_err(text)?;
    ensure!(
        (info.width, info.height, info.frames) == (50, 34, 9),
        "{info:?}"
    );
    Ok(())
}

fn frames_are_pictures() -> Verdict {
    let place = Place::new()?;
    place
        .generate(
            "a boat",
            &["--frames-dir", "f/g", "-o", "a.mp4", "--quality", "100"],
        )?
        .good()?;
    let clip = frames(&place.path("a.mp4"))?;
    for (index, frame) in clip.iter().enumerate() {
        let file = File::open(place.path(&format!("f/g/{index:05}.png"))).map_err(text)?;
        let mut reader = png::Decoder::new(std::io::BufReader::new(file))
            .read_info()
            .map_err(text)?;
        let mut rgb = vec![0; reader.output_buffer_size().ok_or("a picture too large")?];
        let info = reader.next_frame(&mut rgb).map_err(text)?;
        ensure!(
            (info.width, info.height) == (64, 48) && rgb.len() == frame.rgb.len(),
            "{info:?}"
        );
        let squares = rgb
            .iter()
            .zip(&frame.rgb)
            .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
        let error = squares.sum::<f64>() / rgb.len() as f64;
        // The video halves the colours' resolution, and an untrained model's colours are noise.
        ensure!(
            error < 900.0,
            "frame {index} of the video is another picture: mean square {error}"
        );
    }
    ensure!(!place.path("f/g/00009.png").exists(), "a tenth frame");
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

fn quiet_is_quiet() -> Verdict {
    let place = Place::new()?;
    let ended = place
        .generate("a boat", &["--quiet", "-o", "a.mp4", "--width", "50"])?
        .good()?;
    ensure!(ended.err.is_empty(), "said {:?}", ended.err);
    ensure!(ended.out == "a.mp4\n", "printed {:?}", ended.out);
    let ended = place.generate("a boat", &["-o", "b.mp4"])?.good()?;
    let sober = ended.err.chars().all(|c| c == '\n' || !c.is_control());
    ensure!(
        sober && ended.err.lines().count() < 20,
        "no terminal, and yet: {:?}",
        ended.err
    );
    Ok(())
}

fn force() -> Verdict {
    let place = Place::new()?;
    fs::write(place.path("a.mp4"), "old").map_err(text)?;
    place
        .generate("a boat", &["-o", "a.mp4"])?
        .refused(&["--force"])?;
    ensure!(
        fs::read(place.path("a.mp4")).is_ok_and(|b| b == b"old"),
        "changed"
    );
    place
        .generate("a boat", &["-o", "a.mp4", "--force"])?
        .good()?;
    ensure!(frames(&place.path("a.mp4"))?.len() == 9, "not a clip");
    ensure!(place.files().len() == 1, "left {:?}", place.files());
    Ok(())
}

fn info() -> Verdict {
    let place = Place::new()?;
    let model = tiny_model().display().to_string();
    let text = place
        .run_on_device(&["info", "--model", &model])?
        .good()?
        .out;
    for word in [
        "device 0",
        "driver",
        "subgroups",
        "matmul",
        "text_encoder",
        "transformer",
        "vae",
        "F32",
        "parameters",
        "defaults",
    ] {
        ensure!(text.contains(word), "{word} is not in {text}");
    }
    let own = place.run_on_device(&["info"])?.good()?.out;
    ensure!(own.contains("F16"), "the starter's weights are f16: {own}");
    Ok(())
}
