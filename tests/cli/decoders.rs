//! Decoders beside the model's own, and the times of distilled models.

use std::path::Path;

use kinora::media::{Frame, read_metadata};

use crate::clips::{frames, text};
use crate::program::{Place, Test, Verdict, ensure, tiny, tiny_model};

pub(crate) const TESTS: &[Test] = &[
    ("a_tiny_decoder_makes_the_clip", tiny_decoder),
    ("latents_alone_become_colours", colours),
    ("the_starters_colours_are_its_pictures", starter),
    ("distilled_runs_say_their_times", distilled),
];

fn part(name: &str) -> String {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/parts");
    fixtures.join(name).display().to_string()
}

fn entry(clip: &Path, key: &str) -> Result<Option<String>, String> {
    let entries = read_metadata(clip).map_err(text)?;
    Ok(entries.into_iter().find(|(k, _)| k == key).map(|(_, v)| v))
}

fn tiny_decoder() -> Verdict {
    let place = Place::new()?;
    let file = part("tiny21.safetensors");
    let mut arguments = vec!["generate", "a boat", "--seed", "3", "-o", "a.mp4"];
    let model = tiny();
    arguments.extend(model.iter().map(String::as_str));
    arguments.extend(["--tiny-decoder", &file, "--save-latents", "a.safetensors"]);
    let ended = place.run_on_device(&arguments)?.good()?;
    ensure!(ended.err.contains("tiny decoder"), "{}", ended.err);
    let clip = place.path("a.mp4");
    ensure!(frames(&clip)?.len() == 9, "another number of frames");
    ensure!(
        entry(&clip, "decoder")?.as_deref() == Some("tiny"),
        "not said"
    );
    ensure!(
        entry(&clip, "tiny_decoder")? == Some(file.clone()),
        "no file"
    );

    // The same latents by the same decoder, and by the model's own.
    let model = tiny_model().display().to_string();
    let decode = [
        "decode",
        "--latents",
        "a.safetensors",
        "--model",
        &model,
        "-o",
    ];
    let again = [&decode[..], &["b.mp4", "--tiny-decoder", &file]].concat();
    place.run_on_device(&again)?.good()?;
    ensure!(
        frames(&clip)? == frames(&place.path("b.mp4"))?,
        "other frames"
    );
    let full = [&decode[..], &["c.mp4"]].concat();
    place.run_on_device(&full)?.good()?;
    let clip = place.path("c.mp4");
    ensure!(
        entry(&clip, "decoder")?.as_deref() == Some("full"),
        "not said"
    );
    ensure!(
        entry(&clip, "tiny_decoder")?.is_none(),
        "a file all the same"
    );

    for (options, says) in [
        (
            &["--decoder", "tiny"][..],
            "there is no taew2_1.safetensors",
        ),
        (
            &["--decoder", "full", "--tiny-decoder", &file],
            "leave one of them out",
        ),
        (
            &["--decoder", "linear"],
            "no colours are known for latents of 8 channels",
        ),
    ] {
        let refused = [&decode[..], &["d.mp4"], options].concat();
        place.run_on_device(&refused)?.refused(&[says])?;
    }
    Ok(())
}

/// Latents of Wan 2.1 without any model.
fn colours() -> Verdict {
    let place = Place::new()?;
    let shape = [1, 16, 2, 4, 6];
    let values = (0..shape.iter().product::<usize>()).map(|i| (i % 7) as f32 / 3.0 - 1.0);
    let latents = kinora::weights::Latents {
        shape,
        values: values.collect(),
        metadata: Default::default(),
    };
    latents.write(place.path("a.safetensors")).map_err(text)?;
    let decode = [
        "decode",
        "--latents",
        "a.safetensors",
        "--decoder",
        "linear",
    ];
    let ended = place.run_on_device(&decode)?.good()?;
    ensure!(ended.out == "a.mp4\n", "printed {:?}", ended.out);
    let frames = frames(&place.path("a.mp4"))?;
    ensure!(frames.len() == 5, "{} frames", frames.len());
    ensure!(
        frames[1] == frames[4] && frames[0] != frames[1],
        "not one colour a latent frame"
    );
    Ok(())
}

/// The mean of each colour of each square of 16 pixels, as many as a latent becomes.
fn squares(frame: &Frame) -> Vec<f64> {
    const SIDE: usize = 16;
    let (width, height) = (frame.width as usize, frame.height as usize);
    let mut means = vec![0.0; 3 * (width / SIDE) * (height / SIDE)];
    for (at, &value) in frame.rgb.iter().enumerate() {
        let (pixel, colour) = (at / 3, at % 3);
        let square = pixel / width / SIDE * (width / SIDE) + pixel % width / SIDE;
        means[3 * square + colour] += f64::from(value) / (SIDE * SIDE) as f64;
    }
    means
}

/// The built-in model: its latents in colours are what its decoder makes of them, blurred.
fn starter() -> Verdict {
    let place = Place::new()?;
    let make = ["generate", "a blue boat sails to the right at sunset"];
    let short = ["--frames", "5", "--seed", "7", "-o", "a.mp4"];
    let kept = ["--save-latents", "a.safetensors", "--preview", "a.png"];
    let made = place.run_on_device(&[&make[..], &short, &kept].concat())?;
    made.good()?;
    ensure!(place.path("a.png").is_file(), "no preview");
    let decode = ["decode", "--latents", "a.safetensors", "-o", "b.mp4"];
    let linear = [&decode[..], &["--decoder", "linear"]].concat();
    place.run_on_device(&linear)?.good()?;
    let [full, linear] = ["a.mp4", "b.mp4"].map(|clip| frames(&place.path(clip)));
    let (full, linear) = (squares(&full?[0]), squares(&linear?[0]));
    let pairs = || full.iter().zip(&linear);
    let apart = pairs().map(|(a, b)| (a - b).abs()).sum::<f64>() / full.len() as f64;
    let mean = full.iter().sum::<f64>() / full.len() as f64;
    let spread = full.iter().map(|a| (a - mean).abs()).sum::<f64>() / full.len() as f64;
    ensure!(
        apart < spread / 4.0,
        "{apart:.1} of 255 apart where squares differ by {spread:.1}"
    );
    Ok(())
}

fn distilled() -> Verdict {
    let place = Place::new()?;
    let model = tiny_model().display().to_string();
    let run = |options: &[&str]| {
        let all = [
            &[
                "generate", "a boat", "--model", &model, "--frames", "1", "--seed", "3",
            ][..],
            &["--width", "64", "--height", "48", "--force", "-o", "a.mp4"],
            options,
        ];
        place.run_on_device(&all.concat())
    };
    let ended = run(&["--scheduler", "lcm", "--timesteps", "900,400"])?.good()?;
    ensure!(!ended.err.contains("note: guidance"), "{}", ended.err);
    let clip = place.path("a.mp4");
    for (key, value) in [
        ("scheduler", "lcm"),
        ("timesteps", "900,400"),
        ("steps", "2"),
        ("guidance", "1"),
        ("shift", "5"),
    ] {
        let found = entry(&clip, key)?;
        ensure!(found.as_deref() == Some(value), "{key} is {found:?}");
    }
    for (name, says) in [
        ("a.jpg", "the name has to end in .png"),
        ("a.png", "no colours are known for latents of 8 channels"),
    ] {
        run(&["--preview", name])?.refused(&[says])?;
    }
    let printed = place.run(&["show", "a.mp4", "--command"])?.good()?.out;
    ensure!(
        printed.contains("--timesteps=900,400") && printed.contains("--scheduler=lcm"),
        "{printed}"
    );
    let ended = run(&["--scheduler", "dmd", "--guidance", "3"])?.good()?;
    ensure!(ended.err.contains("note: guidance 3"), "{}", ended.err);
    for (options, says) in [
        (&["--timesteps", "900,400"][..], "--scheduler dmd or lcm"),
        (
            &["--scheduler", "dmd", "--steps", "7"],
            "--timesteps with a list of 7",
        ),
        (
            &["--scheduler", "lcm", "--timesteps", "400,900"],
            "each below the one before",
        ),
    ] {
        run(options)?.refused(&[says])?;
    }
    Ok(())
}
