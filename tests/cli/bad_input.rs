//! What cannot be is refused with one sentence and exit code 2, and nothing is written.

use std::fs;
use std::path::Path;

use crate::program::{Place, Test, Verdict, command, ensure, tiny, tiny_model};

pub(crate) const TESTS: &[Test] = &[
    ("bad_prompts", bad_prompts),
    ("bad_numbers", bad_numbers),
    ("bad_outputs", bad_outputs),
    ("bad_models", bad_models),
    ("bad_weights", bad_weights),
    ("bad_latents", bad_latents),
    ("bad_clips", bad_clips),
];

pub(crate) const DEVICE_TESTS: &[Test] =
    &[("bad_tensors", bad_tensors), ("bad_devices", bad_devices)];

/// Runs `generate` with the tiny model and refuses to see anything written.
fn refused(place: &Place, options: &[&str], words: &[&str]) -> Verdict {
    let tiny = tiny();
    let mut arguments = vec!["generate", "a boat"];
    arguments.extend(tiny.iter().map(String::as_str));
    arguments.extend(options);
    let before = place.files();
    let ended = place.run(&arguments)?;
    ended
        .refused(words)
        .map_err(|e| format!("{options:?}: {e}"))?;
    ensure!(
        place.files() == before,
        "{options:?} left {:?}",
        place.files()
    );
    Ok(())
}

fn bad_prompts() -> Verdict {
    let place = Place::new()?;
    place.run(&["generate"])?.refused(&["prompt"])?;
    for empty in ["", "  \n\t"] {
        place
            .run(&["generate", empty])?
            .refused(&["prompt", "empty"])?;
    }
    let feed = |input: &[u8]| place.feed(command(false), &["generate", "-"], input);
    feed(b"")?.refused(&["empty"])?;
    feed(b"\n")?.refused(&["empty"])?;
    feed(&b"a red boat ".repeat(1_000_000))?.refused(&["prompt", "bytes"])?;
    feed(b"caf\xe9")?.refused(&["UTF-8"])?;
    ensure!(place.files().is_empty(), "left {:?}", place.files());
    Ok(())
}

fn bad_numbers() -> Verdict {
    let place = Place::new()?;
    let cases: [(&[&str], &[&str]); 25] = [
        (&["--width", "0"], &["--width", "0"]),
        (&["--height", "0"], &["--height", "0"]),
        (&["--width", "100000"], &["--width", "100000"]),
        (&["--height", "100000"], &["--height", "100000"]),
        (&["--width", "18446744073709551615"], &["--width"]),
        (&["--width", "8192"], &["8192"]),
        (&["--frames", "0"], &["--frames", "0"]),
        (&["--frames", "100000000"], &["--frames"]),
        (&["--steps", "0"], &["--steps", "0"]),
        (&["--steps", "100000"], &["--steps"]),
        (&["--fps", "0"], &["--fps", "0"]),
        (&["--fps", "-5"], &["--fps", "-5"]),
        (&["--fps", "NaN"], &["--fps"]),
        (&["--fps", "1000"], &["--fps"]),
        (&["--guidance", "inf"], &["--guidance"]),
        (&["--guidance", "-1e30"], &["--guidance"]),
        (&["--guidance-2", "3"], &["--guidance-2"]),
        (&["--guidance-stop", "1.5"], &["--guidance-stop", "1.5"]),
        (&["--guidance-stop", "-0.1"], &["--guidance-stop"]),
        (&["--guidance-stop", "NaN"], &["--guidance-stop"]),
        (&["--shift", "0"], &["--shift", "0"]),
        (&["--shift", "NaN"], &["--shift"]),
        (&["--seed", "-2"], &["--seed", "-2"]),
        (&["--seed", "99999999999999999999999"], &["--seed"]),
        (
            &["--seed", "18446744073709551615", "--count", "2"],
            &["--seed", "--count"],
        ),
    ];
    for (options, words) in cases {
        refused(&place, options, words)?;
    }
    let model = tiny_model().display().to_string();
    for seconds in ["0", "-1", "NaN", "inf", "1e300"] {
        let ended = place.run(&[
            "generate",
            "a boat",
            "--model",
            &model,
            "--duration",
            seconds,
        ])?;
        ended
            .refused(&[])
            .map_err(|e| format!("--duration {seconds}: {e}"))?;
    }
    ensure!(place.files().is_empty(), "left {:?}", place.files());
    Ok(())
}

fn bad_outputs() -> Verdict {
    let place = Place::new()?;
    let write = |name: &str| fs::write(place.path(name), "here").map_err(|e| e.to_string());
    write("taken.mp4")?;
    write("taken-7.mp4")?;
    write("taken.safetensors")?;
    write("file")?;
    fs::create_dir_all(place.path("folder.safetensors")).map_err(|e| e.to_string())?;
    fs::create_dir_all(place.path("frames")).map_err(|e| e.to_string())?;
    write("frames/00000.png")?;
    let cases: [(&[&str], &[&str]); 15] = [
        (&["-o", "clip.avi"], &["clip.avi", ".mp4"]),
        (&["-o", "clip"], &["clip", ".mp4"]),
        (&["-o", ""], &[".mp4"]),
        (&["-o", "clip.mp4.mov"], &[".mov"]),
        (&["-o", "nowhere/clip.mp4"], &["nowhere", "does not exist"]),
        (&["-o", "file/clip.mp4"], &["file"]),
        (&["--save-latents", "folder.safetensors"], &["is a folder"]),
        (&["-o", "taken.mp4"], &["taken.mp4", "--force"]),
        // The second of two.
        (
            &["-o", "taken.mp4", "--seed", "6", "--count", "2"],
            &["taken-7.mp4", "--force"],
        ),
        (
            &["--save-latents", "taken.safetensors"],
            &["taken.safetensors", "--force"],
        ),
        (
            &["--save-latents", "latents.bin"],
            &["latents.bin", ".safetensors"],
        ),
        (&["--save-latents", "nowhere/x.safetensors"], &["nowhere"]),
        (&["--frames-dir", "frames"], &["00000.png", "--force"]),
        (&["--frames-dir", "file"], &["file"]),
        (&["--frames-dir", "file/deep/er"], &["file"]),
    ];
    for (options, words) in cases {
        refused(&place, options, words)?;
    }
    ensure!(
        fs::read(place.path("taken.mp4")).is_ok_and(|b| b == b"here"),
        "taken.mp4 was changed"
    );
    // Nobody, not even root, makes files there.
    #[cfg(target_os = "linux")]
    refused(&place, &["-o", "/proc/clip.mp4"], &["/proc"])?;
    Ok(())
}

/// A copy of the tiny model to spoil.
pub(crate) fn model(place: &Place) -> Result<(), String> {
    fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let to = to.join(entry.file_name());
            match entry.path().is_dir() {
                true => copy(&entry.path(), &to)?,
                false => fs::write(to, fs::read(entry.path())?)?,
            }
        }
        Ok(())
    }
    copy(&tiny_model(), &place.path("model")).map_err(|e| e.to_string())
}

const WEIGHTS: &str = "model/transformer/diffusion_pytorch_model.safetensors";

fn bad_models() -> Verdict {
    let place = Place::new()?;
    refused(&place, &["--model", "nowhere"], &["nowhere"])?;
    fs::create_dir(place.path("empty")).map_err(|e| e.to_string())?;
    refused(&place, &["--model", "empty"], &["model_index.json"])?;
    let spoil = |file: &str, from: &str, to: &str, words: &[&str]| {
        model(&place)?;
        let path = place.path("model").join(file);
        let text = fs::read_to_string(&path).map_err(|e| e.to_string())?;
        ensure!(text.contains(from), "{from:?} is not in {file}");
        fs::write(&path, text.replace(from, to)).map_err(|e| e.to_string())?;
        refused(&place, &["--model", "model"], words).map_err(|e| format!("{file}: {e}"))
    };
    spoil(
        "model_index.json",
        "WanPipeline",
        "CogVideoXPipeline",
        &["CogVideoXPipeline"],
    )?;
    spoil(
        "model_index.json",
        "UMT5EncoderModel",
        "T5EncoderModel",
        &["T5EncoderModel"],
    )?;
    spoil("model_index.json", "{", "", &["model_index.json"])?;
    spoil(
        "transformer/config.json",
        "\"num_layers\": 2",
        "\"num_layers\": -2",
        &["num_layers"],
    )?;
    spoil(
        "transformer/config.json",
        "\"text_dim\": 32",
        "\"text_dim\": 48",
        &["text_dim", "d_model"],
    )?;
    spoil(
        "vae/config.json",
        "AutoencoderKLWan",
        "AutoencoderKL",
        &["AutoencoderKL"],
    )
}

fn bad_weights() -> Verdict {
    let place = Place::new()?;
    let spoil =
        |what: &str, change: &dyn Fn(&Path, Vec<u8>) -> std::io::Result<()>, words: &[&str]| {
            model(&place)?;
            let path = place.path(WEIGHTS);
            let bytes = fs::read(&path).map_err(|e| e.to_string())?;
            change(&path, bytes).map_err(|e| e.to_string())?;
            refused(&place, &["--model", "model"], words).map_err(|e| format!("{what}: {e}"))
        };
    let name = "diffusion_pytorch_model.safetensors";
    spoil(
        "missing",
        &|path, _| fs::remove_file(path),
        &["transformer"],
    )?;
    spoil("empty", &|path, _| fs::write(path, ""), &[name])?;
    spoil(
        "truncated",
        &|path, bytes| fs::write(path, &bytes[..bytes.len() / 2]),
        &[name],
    )?;
    spoil(
        "cut in the header",
        &|path, bytes| fs::write(path, &bytes[..100]),
        &[name],
    )?;
    let long = |path: &Path, mut bytes: Vec<u8>| {
        bytes[..8].copy_from_slice(&(1u64 << 60).to_le_bytes());
        fs::write(path, bytes)
    };
    spoil("a header beyond the file", &long, &[name])?;
    let noise = |path: &Path, mut bytes: Vec<u8>| {
        bytes[8..40].fill(0xff);
        fs::write(path, bytes)
    };
    spoil("a header of noise", &noise, &[name])?;
    let overlapping = |path: &Path, bytes: Vec<u8>| {
        rewrite(path, &bytes, &|header| {
            let offsets: Vec<String> = header
                .keys()
                .filter(|k| *k != "__metadata__")
                .cloned()
                .collect();
            let first = header[&offsets[0]]["data_offsets"].clone();
            let shape = header[&offsets[0]]["shape"].clone();
            header[&offsets[1]]["data_offsets"] = first;
            header[&offsets[1]]["shape"] = shape;
        })
    };
    spoil("overlapping offsets", &overlapping, &[name])
}

/// Rewrites a safetensors file's header.
fn rewrite(
    path: &Path,
    bytes: &[u8],
    change: &dyn Fn(&mut serde_json::Map<String, serde_json::Value>),
) -> std::io::Result<()> {
    let (length, rest) = bytes.split_at(8);
    let length = u64::from_le_bytes(length.try_into().unwrap_or_default()) as usize;
    let (header, data) = rest.split_at(length);
    let mut header = serde_json::from_slice(header)?;
    change(&mut header);
    let header = serde_json::to_vec(&header)?;
    let mut changed = (header.len() as u64).to_le_bytes().to_vec();
    changed.extend(header);
    changed.extend(data);
    fs::write(path, changed)
}

/// Names and shapes that only a model's own code knows.
fn bad_tensors() -> Verdict {
    let place = Place::new()?;
    let tensor = "blocks.1.attn1.to_q.weight";
    let refused = |words: &[&str]| {
        let before = place.files();
        let ended = place.generate("a boat", &["--model", "model"])?;
        ended.refused(words)?;
        ensure!(place.files() == before, "left {:?}", place.files());
        Ok(())
    };
    let spoil = |change: &dyn Fn(&mut serde_json::Map<String, serde_json::Value>)| {
        model(&place)?;
        let path = place.path(WEIGHTS);
        let bytes = fs::read(&path).map_err(|e| e.to_string())?;
        rewrite(&path, &bytes, change).map_err(|e| e.to_string())
    };
    spoil(&|header| header[tensor]["shape"] = serde_json::json!([16, 64]))?;
    refused(&[tensor, "[16, 64]", "[32, 32]"])?;
    spoil(&|header| {
        let entry = header.remove(tensor).unwrap_or_default();
        header.insert("blocks.1.attn1.to_k.wait".to_owned(), entry);
    })?;
    refused(&[tensor])?;
    // The tokenizers library panics over an ending of a sequence that there is not.
    model(&place)?;
    let path = place.path("model/tokenizer/tokenizer.json");
    let text = fs::read_to_string(&path).map_err(|e| e.to_string())?;
    let mut tokenizer: serde_json::Value =
        serde_json::from_str(&text).map_err(|e| e.to_string())?;
    tokenizer["post_processor"]["single"][0]["Sequence"]["id"] = "B".into();
    fs::write(&path, tokenizer.to_string()).map_err(|e| e.to_string())?;
    refused(&["tokenizer.json", "cannot work with this file"])
}

fn bad_devices() -> Verdict {
    let place = Place::new()?;
    for device in ["no such device", "99"] {
        place
            .generate("a boat", &["--device", device])?
            .refused(&[device])?;
        place
            .run_on_device(&["info", "--device", device])?
            .refused(&[device])?;
    }
    ensure!(place.files().is_empty(), "left {:?}", place.files());
    Ok(())
}

fn bad_latents() -> Verdict {
    let place = Place::new()?;
    let refused = |file: &str, words: &[&str]| {
        let before = place.files();
        let ended = place.run(&["decode", "--latents", file, "-o", "clip.mp4"])?;
        ended.refused(words).map_err(|e| format!("{file}: {e}"))?;
        ensure!(place.files() == before, "left {:?}", place.files());
        Ok(())
    };
    refused("nowhere.safetensors", &["nowhere.safetensors"])?;
    fs::write(place.path("short.safetensors"), "abc").map_err(|e| e.to_string())?;
    refused("short.safetensors", &["short.safetensors"])?;
    let model = tiny_model().join("transformer/diffusion_pytorch_model.safetensors");
    refused(&model.display().to_string(), &["latents"])?;
    let nan = kinora::weights::Latents {
        shape: [1, 1, 1, 1, 2],
        values: vec![0.0, f32::NAN],
        metadata: [].into(),
    };
    nan.write(place.path("nan.safetensors"))
        .map_err(|e| e.to_string())?;
    refused("nan.safetensors", &["nan.safetensors"])?;
    let wrong = kinora::weights::Latents {
        shape: [1, 16, 1, 4, 4],
        values: vec![0.0; 256],
        metadata: [
            ("width".to_owned(), "wide".to_owned()),
            ("height".to_owned(), "32".to_owned()),
        ]
        .into(),
    };
    wrong
        .write(place.path("wrong.safetensors"))
        .map_err(|e| e.to_string())?;
    refused("wrong.safetensors", &["width", "wide"])
}

fn bad_clips() -> Verdict {
    let place = Place::new()?;
    fs::write(
        place.path("text.mp4"),
        "This is no video, though its name says so.",
    )
    .map_err(|e| e.to_string())?;
    fs::write(place.path("empty.mp4"), "").map_err(|e| e.to_string())?;
    for name in ["text.mp4", "empty.mp4", "nowhere.mp4"] {
        place.run(&["show", name])?.refused(&[name])?;
    }
    Ok(())
}
