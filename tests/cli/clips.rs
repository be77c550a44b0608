//! Clips as they were asked for: sizes, variations, pictures, names.

use std::fs::{self, File};
use std::path::Path;

use kinora::media::{decode, probe};
use kinora::weights::Latents;

use crate::program::{Place, Test, Verdict, ensure, tiny_model};

pub(crate) const TESTS: &[Test] = &[
    ("scripts_get_objects", scripts_get_objects),
    ("variations_have_seeds_one_apart", variations),
    ("sizes_are_cropped_and_frames_rounded", sizes_are_cropped),
    ("frames_are_written_as_pictures", frames_are_pictures),
    ("quiet_is_quiet", quiet_is_quiet),
    ("files_are_replaced_only_by_force", force),
    ("info_describes_device_and_model", info),
];

pub(crate) fn text<E: std::fmt::Display>(error: E) -> String {
    error.to_string()
}

pub(crate) fn latents(path: &Path) -> Result<Latents, String> {
    Latents::read(path).map_err(text)
}

/// The frames of a clip, decoded.
pub(crate) fn frames(path: &Path) -> Result<Vec<kinora::media::Frame>, String> {
    decode(path)
        .map_err(text)?
        .map(|frame| frame.map_err(text))
        .collect()
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
        // Brightness alone: the video halves the colours' resolution, and a random model's are noise.
        let light = |rgb: &[u8]| {
            0.2126 * f64::from(rgb[0]) + 0.7152 * f64::from(rgb[1]) + 0.0722 * f64::from(rgb[2])
        };
        let pixels = rgb.chunks_exact(3).zip(frame.rgb.chunks_exact(3));
        let squares = pixels
            .map(|(a, b)| (light(a) - light(b)).powi(2))
            .sum::<f64>();
        let error = squares / (64.0 * 48.0);
        ensure!(
            error < 10.0,
            "frame {index} of the video is another picture: mean square {error}"
        );
    }
    ensure!(!place.path("f/g/00009.png").exists(), "a tenth frame");
    Ok(())
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

/// One object on standard output, an object a line on standard error, steps and not passes.
fn scripts_get_objects() -> Verdict {
    let place = Place::new()?;
    let tiny = crate::program::tiny();
    let mut arguments = vec!["generate", "a boat", "--seed", "7", "--guidance", "3"];
    arguments.extend(tiny.iter().map(String::as_str));
    arguments.extend([
        "--fps",
        "30000/1001",
        "--json",
        "--events",
        "json",
        "-o",
        "a.mp4",
    ]);
    let ended = place.run_on_device(&arguments)?.good()?;
    let read = |text: &str| -> Result<serde_json::Value, String> {
        serde_json::from_str(text).map_err(|e| format!("{e}: {text}"))
    };
    let told = read(&ended.out)?;
    let clip = &told["clips"][0];
    ensure!(
        clip["path"] == "a.mp4" && clip["seed"] == 7 && clip["steps"] == 2 && clip["kept"] == false,
        "{told}"
    );
    let fps = clip["fps"].as_f64().unwrap_or(0.0);
    ensure!((fps - 30_000.0 / 1001.0).abs() < 1e-9, "{told}");
    let mut steps = Vec::new();
    for line in ended
        .err
        .lines()
        .filter(|line| !line.starts_with("with-vulkan"))
    {
        let event = read(line)?;
        if event["event"] == "progress" && event["stage"] == "sample" {
            steps.push((event["done"].as_u64(), event["total"].as_u64()));
        }
    }
    let expected = [0, 1, 2].map(|done| (Some(done), Some(2)));
    ensure!(steps == expected, "{steps:?}");
    let shown = place.run(&["show", "a.mp4", "--json"])?.good()?;
    ensure!(read(&shown.out)?["seed"] == 7, "{}", shown.out);
    let rate = kinora::media::probe(&place.path("a.mp4"))
        .map_err(|e| e.to_string())?
        .fps;
    ensure!(
        (rate.numerator(), rate.denominator()) == (30_000, 1001),
        "{rate}"
    );
    place
        .run(&["generate", "a boat", "--json", "-o", "-"])?
        .refused(&["--json", "-o -"])
}
