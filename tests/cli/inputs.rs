//! Clips that start from pictures and clips: what cannot be is refused before anything is loaded, and
//! what can survives a kill.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kinora::weights::{RunProgress, RunState};

use crate::clips::text;
use crate::program::{Place, Test, Verdict, command, ensure, tiny_model};

pub(crate) const TESTS: &[Test] = &[
    ("files_that_are_no_pictures_are_refused", bad_files),
    ("requests_that_a_model_cannot_serve_are_refused", unable),
    ("models_of_other_tasks_are_refused", other_tasks),
];

pub(crate) const DEVICE_TESTS: &[Test] = &[
    ("a_picture_is_encoded_once_whatever_kills_the_run", killed),
    ("a_clip_is_changed_and_its_command_shown", shown),
];

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures")
        .join(path)
}

/// Runs `generate` without a device and refuses to see anything written.
fn refused(place: &Place, model: &Path, options: &[&str], words: &[&str]) -> Verdict {
    let model = model.display().to_string();
    let mut arguments = vec!["generate", "a boat", "--model", &model];
    arguments.extend(options);
    let before = place.files();
    let ended = place.run(&arguments)?;
    let named = |e| format!("{options:?}: {e}");
    ended.refused(words).map_err(named)?;
    ensure!(place.files() == before, "{options:?} left files");
    Ok(())
}

fn bad_files() -> Verdict {
    let place = Place::new()?;
    let pictures = fixture("parts/pictures");
    let model = fixture("i2v/model");
    fs::create_dir(place.path("none")).map_err(text)?;
    fs::create_dir(place.path("mixed")).map_err(text)?;
    for (from, to) in [("rgb.png", "mixed/1.png"), ("turned6.jpg", "mixed/2.jpg")] {
        fs::copy(pictures.join(from), place.path(to)).map_err(text)?;
    }
    fs::write(place.path("text.mp4"), "a boat").map_err(text)?;
    for (file, words) in [
        ("sizes.json", ["is not a picture", "sizes.json"]),
        ("one.png", ["1x1 pixels", "one.png"]),
        ("large.png", ["20000x20000", "large.png"]),
        ("animated.webp", ["animated WebP", "still picture"]),
        ("cmyk.jpg", ["CMYK", "sRGB"]),
        ("absent.png", ["cannot read", "absent.png"]),
    ] {
        let file = pictures.join(file).display().to_string();
        refused(&place, &model, &["--image", &file], &words)?;
    }
    for (file, words) in [
        ("text.mp4", ["text.mp4", "ffmpeg"]),
        ("none", ["none", "pictures"]),
        ("absent.mp4", ["cannot read", "absent.mp4"]),
    ] {
        refused(&place, &tiny_model(), &["--video", file], &words)?;
    }
    let words = ["2.jpg", "1.png"];
    refused(&place, &tiny_model(), &["--video", "mixed"], &words)
}

fn unable() -> Verdict {
    let place = Place::new()?;
    let picture = fixture("parts/pictures/rgb.png").display().to_string();
    let video = fixture("v2v_30/video").display().to_string();
    let (text_alone, image) = (tiny_model(), fixture("i2v/model"));
    let cases: [(&Path, &[&str], &[&str]); 12] = [
        (
            &text_alone,
            &["--image", &picture],
            &["cannot start from an image", "wan2.1-i2v-14b", "wan2.2-5b"],
        ),
        (
            &text_alone,
            &["--last-image", &picture],
            &["cannot start from a last image", "wan2.1-flf2v-14b"],
        ),
        (&image, &[], &["starts from an image", "--image"]),
        (
            &image,
            &["--video", &video],
            &["cannot start from a video", "wan2.1-1.3b"],
        ),
        (
            &image,
            &["--image", &picture, "--last-image", &picture],
            &["cannot start from a last image"],
        ),
        (
            &text_alone,
            &["--strength", "0.5"],
            &["--strength", "without a video"],
        ),
        (
            &text_alone,
            &["--fit", "cover"],
            &["--fit", "without an image"],
        ),
        (
            &text_alone,
            &["--keep-frames"],
            &["--keep-frames", "without a video"],
        ),
        (
            &text_alone,
            &["--video", &video, "--strength", "0"],
            &["--strength", "more than 0 and at most 1"],
        ),
        (
            &text_alone,
            &["--video", &video, "--strength", "nan"],
            &["--strength"],
        ),
        (
            &text_alone,
            &["--video", &video, "--strength", "0.2", "--steps", "4"],
            &["--strength", "none would run"],
        ),
        (
            &text_alone,
            &["--video", &video, "--frames", "17"],
            &["--frames", "17", "13"],
        ),
    ];
    for (model, options, words) in cases {
        refused(&place, model, options, words)?;
    }
    Ok(())
}

/// Copies a model with its `model_index.json` changed.
fn with_index(place: &Place, model: &Path, from: &str, to: &str) -> Result<PathBuf, String> {
    let folder = place.path("model");
    copy(model, &folder).map_err(text)?;
    let index = folder.join("model_index.json");
    let found = fs::read_to_string(&index).map_err(text)?;
    ensure!(found.contains(from), "no {from} in {found}");
    fs::write(&index, found.replace(from, to)).map_err(text)?;
    Ok(folder)
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

/// A transformer with a condition beside the noise is known by its pipeline's class, or in a file of its
/// own by sizes that were released and a name without `fun`.
fn other_tasks() -> Verdict {
    let place = Place::new()?;
    let picture = fixture("parts/pictures/rgb.png").display().to_string();
    let image = ["--image", picture.as_str()];
    let (class, other) = ("WanImageToVideoPipeline", "WanPipeline");
    let folder = with_index(&place, &fixture("i2v/model"), class, other)?;
    refused(
        &place,
        &folder,
        &image,
        &["_class_name", "in_channels", class],
    )?;

    let place = Place::new()?;
    let folder = with_index(&place, &tiny_model(), other, class)?;
    refused(&place, &folder, &[], &["_class_name", "in_channels", other])?;

    let place = Place::new()?;
    let weights = fixture("i2v/model/transformer/diffusion_pytorch_model.safetensors");
    for (name, words) in [
        ("wan2.1_fun_inp_1.3B.safetensors", ["Wan-Fun", "its name"]),
        ("wan_i2v.safetensors", ["known frames", "config.json"]),
    ] {
        fs::copy(&weights, place.path(name)).map_err(text)?;
        // Its own configuration says the size of a head, as whoever made the file may have said.
        let config = fs::read(fixture("i2v/model/transformer/config.json")).map_err(text)?;
        let beside = place.path(name).with_extension("json");
        fs::write(beside, config).map_err(text)?;
        let part = |part: &str| fixture(&format!("i2v/model/{part}")).display().to_string();
        let (text_encoder, vae, clip) = (part("text_encoder"), part("vae"), part("image_encoder"));
        let (before, tokenizer) = (place.files(), part("tokenizer/tokenizer.json"));
        let ended = place.run(&[
            "generate",
            "a boat",
            "--transformer",
            name,
            "--text-encoder",
            &text_encoder,
            "--image-encoder",
            &clip,
            "--vae",
            &vae,
            "--tokenizer",
            &tokenizer,
            image[0],
            image[1],
        ])?;
        ended.refused(&words)?;
        ensure!(place.files() == before, "{name}: files are left");
    }
    Ok(())
}

fn arguments(model: &Path, more: &[&str]) -> Vec<String> {
    let model = model.display().to_string();
    let words = [
        "generate", "a boat", "--width", "64", "--height", "48", "--steps", "60", "--seed", "5",
        "--model", &model,
    ];
    words.iter().chain(more).map(|w| (*w).to_owned()).collect()
}

fn killed() -> Verdict {
    let place = Place::new()?;
    let picture = fixture("i2v/image.png").display().to_string();
    let more = ["--frames", "9", "--image", &picture, "-o", "b.mp4"];
    let words = arguments(&fixture("i2v/model"), &more);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    place.run_on_device(&words)?.good()?;
    let whole = fs::read(place.path("b.mp4")).map_err(text)?;
    fs::remove_file(place.path("b.mp4")).map_err(text)?;

    let mut running = place.start(command(true), &words)?;
    let state = place.path("b.kinora-state");
    let deadline = Instant::now() + Duration::from_secs(60);
    let kept =
        || matches!(RunState::read(&state), Ok(s) if matches!(s.progress, RunProgress::Steps(_)));
    while !kept() {
        ensure!(Instant::now() < deadline, "no state with steps");
        std::thread::sleep(Duration::from_millis(2));
    }
    running.signal("KILL")?;
    running.wait(Duration::from_secs(10))?;
    let resumed = place.run_on_device(&["resume", "b.mp4"])?.good()?;
    for stage in ["looking at the image", "encoding the frames"] {
        ensure!(
            !resumed.err.contains(stage),
            "encoded again: {}",
            resumed.err
        );
    }
    let found = fs::read(place.path("b.mp4")).map_err(text)?;
    ensure!(found == whole, "another clip after the kill");
    Ok(())
}

fn shown() -> Verdict {
    let place = Place::new()?;
    copy(&fixture("v2v_30/video"), &place.path("in")).map_err(text)?;
    let more = ["--video", "in", "--strength", "0.1", "-o", "b.mp4"];
    let words = arguments(&tiny_model(), &more);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    place.run_on_device(&words)?.good()?;
    let command = ["show", "b.mp4", "--command"];
    let shown = place.run(&command)?.good()?;
    for option in ["--video=in", "--strength=0.1", "--fit=cover"] {
        ensure!(shown.out.contains(option), "{option}: {}", shown.out);
    }
    ensure!(!shown.err.contains("changed"), "{}", shown.err);
    fs::remove_file(place.path("in/3.png")).map_err(text)?;
    let shown = place.run(&command)?.good()?;
    ensure!(
        shown.err.contains("in has changed since the clip was made"),
        "{}",
        shown.err
    );
    Ok(())
}
