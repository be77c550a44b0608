//! Models in single files: what is recognised, what is missing, what is in the wrong place.

use std::fs;
use std::path::{Path, PathBuf};

use kinora::weights::{Checkpoint, Extent, Latents};

use crate::bad_input;
use crate::program::{Place, Test, Verdict, ensure, tiny_model};

pub(crate) const TESTS: &[Test] = &[
    ("parts_in_the_wrong_place_are_told", wrong_places),
    ("parts_that_are_missing_are_named", missing),
    ("files_that_are_no_part_are_told", strangers),
    ("two_of_a_kind_are_refused", two_of_a_kind),
    ("heads_are_enough_for_a_plan_alone", heads),
];

pub(crate) const DEVICE_TESTS: &[Test] = &[
    ("single_files_make_the_folders_clip", same_clip),
    ("info_says_what_was_recognised", recognised),
    ("info_says_that_data_are_missing", heads_told),
];

/// The tiny model's file of a part.
fn file(part: &str) -> String {
    let name = match part {
        "tokenizer" => "tokenizer.json",
        "text_encoder" => "model.safetensors",
        _ => "diffusion_pytorch_model.safetensors",
    };
    tiny_model().join(part).join(name).display().to_string()
}

/// A link or copy of a part's file, away from its configuration.
fn alone(part: &str, to: &Path) -> Verdict {
    fs::copy(file(part), to)
        .map(drop)
        .map_err(|e| e.to_string())
}

fn wrong_places() -> Verdict {
    let place = Place::new()?;
    let (transformer, vae) = (file("transformer"), file("vae"));
    place
        .run(&["plan", "--transformer", &vae])?
        .refused(&[&vae, "is a Wan autoencoder, expected a Wan transformer"])?;
    let text = file("text_encoder");
    let model = tiny_model().display().to_string();
    place
        .run(&["plan", "--model", &model, "--vae", &text])?
        .refused(&["is a UMT5 text encoder, expected a Wan autoencoder"])?;
    place
        .run(&["plan", "--model", &model, "--text-encoder", &transformer])?
        .refused(&["is a Wan transformer, expected a UMT5 text encoder"])
}

fn missing() -> Verdict {
    let place = Place::new()?;
    let transformer = file("transformer");
    place
        .run(&["generate", "a boat", "--transformer", &transformer])?
        .refused(&[
            "holds a Wan transformer, but",
            "no text encoder (text_encoder) and no autoencoder (vae)",
        ])?;
    // The head size of a model that Wan did not release stands beside the file, or nowhere.
    alone("transformer", &place.path("t.safetensors"))?;
    place
        .run(&["plan", "--transformer", "t.safetensors"])?
        .refused(&["the size of an attention head", "config.json or t.json"])?;
    let files = [
        ("--transformer", file("transformer")),
        ("--text-encoder", file("text_encoder")),
        ("--vae", file("vae")),
    ];
    let mut arguments = vec!["info"];
    for (option, file) in &files {
        arguments.extend([*option, file.as_str()]);
    }
    let info = place.run_on_device(&arguments)?;
    let tokenizer = "tokenizer          missing: diffusion_pytorch_model has no tokenizer";
    ensure!(info.out.contains(tokenizer), "{}", info.out);
    Ok(())
}

fn strangers() -> Verdict {
    let place = Place::new()?;
    let header = br#"{"a.lora_A.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header);
    bytes.extend_from_slice(&[0; 4]);
    fs::write(place.path("a.safetensors"), bytes).map_err(|e| e.to_string())?;
    place
        .run(&["plan", "--transformer", "a.safetensors"])?
        .refused(&["a.safetensors is a LoRA", "expected a Wan transformer"])?;
    place
        .run(&["plan", "--model", "a.safetensors"])?
        .refused(&["a.safetensors is a LoRA"])
}

fn two_of_a_kind() -> Verdict {
    let place = Place::new()?;
    let folder = place.path("m");
    fs::create_dir(&folder).map_err(|e| e.to_string())?;
    alone("vae", &folder.join("a.safetensors"))?;
    alone("vae", &folder.join("b.safetensors"))?;
    place.run(&["plan", "--model", "m"])?.refused(&[
        "a.safetensors",
        "b.safetensors",
        "a Wan autoencoder each",
        "the field vae",
    ])
}

/// Cuts off the data of all weights below a folder.
fn cut(folder: &Path) -> Verdict {
    let entries = fs::read_dir(folder).map_err(|e| e.to_string())?;
    let paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    for path in paths {
        let ending = path.extension().and_then(|ending| ending.to_str());
        match ending {
            _ if path.is_dir() => cut(&path)?,
            Some("safetensors" | "gguf") => {
                let bytes = fs::read(&path).map_err(|e| e.to_string())?;
                let head = |len: &usize| {
                    let bytes = bytes[..*len].to_vec();
                    Checkpoint::from_bytes_to("a", bytes, "part", Extent::Headers).is_ok()
                };
                let len = match ending {
                    Some("gguf") => (0..bytes.len()).find(head).unwrap_or(0),
                    _ => 8 + u64::from_le_bytes(*bytes.first_chunk().ok_or("short")?) as usize,
                };
                ensure!(head(&len) && len < bytes.len(), "{}", path.display());
                fs::write(&path, &bytes[..len]).map_err(|e| e.to_string())?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn heads() -> Verdict {
    let place = Place::new()?;
    bad_input::model(&place)?;
    place
        .run(&["convert", "--model=model", "--dtype=q8_0", "-o=small"])?
        .good()?;
    let plan = |model: &str| {
        let arguments = ["plan", "--model", model, "--memory=1GB", "--json"];
        Ok::<_, String>(place.run(&arguments)?.good()?.out)
    };
    for model in ["model", "small"] {
        let whole = plan(model)?;
        cut(&place.path(model))?;
        let head = plan(model)?;
        ensure!(head == whole, "{head} is not {whole}");
        for arguments in [
            &["generate", "a boat", "--model", model][..],
            &["convert", "--dtype=bf16", "-o=other", "--model", model],
        ] {
            place.run(arguments)?.refused(&["it is truncated"])?;
        }
    }
    Ok(())
}

fn heads_told() -> Verdict {
    let place = Place::new()?;
    bad_input::model(&place)?;
    cut(&place.path("model"))?;
    let info = place.run_on_device(&["info", "--model", "model"])?;
    ensure!(info.code == Some(2), "exit code {:?}", info.code);
    let count = info.out.matches("the data is missing").count();
    ensure!(count == 3, "{}", info.out);
    let error = "ends before the data of tensor";
    ensure!(info.err.contains(error), "{}", info.err);
    let latents = Latents {
        shape: [1, 8, 1, 2, 2],
        values: vec![0.0; 32],
        metadata: Default::default(),
    };
    let file = place.path("l.safetensors");
    latents.write(&file).map_err(|e| e.to_string())?;
    place
        .run_on_device(&["decode", "--latents=l.safetensors", "--model", "model"])?
        .refused(&["it is truncated"])
}

fn same_clip() -> Verdict {
    let place = Place::new()?;
    place
        .generate("a boat", &["--seed=3", "--no-metadata", "-o", "folder.mp4"])?
        .good()?;
    let parts = ["transformer", "text_encoder", "vae", "tokenizer"];
    let options = parts.map(|part| format!("--{}={}", part.replace('_', "-"), file(part)));
    // The schedule's shift is the folder's own.
    let common = [
        "generate",
        "a boat",
        "--width=64",
        "--height=48",
        "--frames=9",
        "--steps=2",
        "--shift=3",
        "--seed=3",
    ];
    let mut arguments: Vec<&str> = common.to_vec();
    arguments.extend(options.iter().map(String::as_str));
    let mut bare = arguments.clone();
    bare.extend(["--no-metadata", "-o", "files.mp4"]);
    place.run_on_device(&bare)?.good()?;
    let read = |name: &str| fs::read(place.path(name)).map_err(|e| e.to_string());
    ensure!(
        read("folder.mp4")? == read("files.mp4")?,
        "single files make another clip"
    );
    arguments.extend(["-o", "said.mp4"]);
    place.run_on_device(&arguments)?.good()?;
    let command = place.run(&["show", "said.mp4", "--command"])?.good()?.out;
    for option in &options {
        ensure!(command.contains(option), "{option} is not in {command}");
    }
    Ok(())
}

fn recognised() -> Verdict {
    let place = Place::new()?;
    let model = tiny_model().display().to_string();
    let vae = file("vae");
    let info = place
        .run_on_device(&["info", "--model", &model, "--vae", &vae])?
        .good()?
        .out;
    for words in [
        "layout             diffusers",
        "safetensors; names: diffusers",
        &vae,
        "tokenizer.json",
    ] {
        ensure!(info.contains(words), "{words:?} is not in {info}");
    }
    let transformer = file("transformer");
    let partial = place.run_on_device(&["info", "--transformer", &transformer])?;
    ensure!(partial.code == Some(2), "exit code {:?}", partial.code);
    for words in [
        "layout             single files",
        "not complete",
        &transformer,
    ] {
        ensure!(
            partial.out.contains(words),
            "{words:?} is not in {}",
            partial.out
        );
    }
    ensure!(partial.err.contains("no text encoder"), "{}", partial.err);
    Ok(())
}
