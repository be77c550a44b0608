//! Two experts in one folder, as ComfyUI has them: told by their files' names.

use std::fs;
use std::path::Path;

use kinora::error::ConfigError;
use kinora::model_files::ModelFolder;
use libtest_mimic::{Failed, Trial};

use super::fixtures;

pub fn trials() -> Vec<Trial> {
    vec![Trial::test("experts/by their names", by_name)]
}

const WEIGHTS: &str = "diffusion_pytorch_model.safetensors";

/// A folder of a fixture's parts, the experts under these names: the fixture's transformer, and one of
/// which a bit is another.
fn folder(at: &Path, experts: [Option<&str>; 2]) -> Result<(), Failed> {
    let own = fixtures().join("wan21/model");
    fs::copy(own.join("vae").join(WEIGHTS), at.join("vae.safetensors"))?;
    fs::copy(own.join("vae/config.json"), at.join("vae.json"))?;
    let text_encoder = own.join("text_encoder/model.safetensors");
    fs::copy(text_encoder, at.join("umt5.safetensors"))?;
    let mut bytes = fs::read(own.join("transformer").join(WEIGHTS))?;
    for name in experts {
        if let Some(name) = name {
            fs::write(at.join(name), &bytes)?;
            // The size of a head, which shapes do not tell.
            let beside = at.join(name).with_extension("json");
            fs::copy(own.join("transformer/config.json"), beside)?;
        }
        *bytes.last_mut().ok_or("no bytes")? ^= 1;
    }
    Ok(())
}

fn by_name() -> Result<(), Failed> {
    let print = |folder: &ModelFolder, part| -> Result<String, Failed> {
        Ok(folder.checkpoint(part)?.fingerprint())
    };
    let place = tempfile::tempdir()?;
    folder(place.path(), [Some("one.safetensors"), None])?;
    let high = print(&ModelFolder::open(place.path())?, "transformer")?;
    for names in [
        [
            "wan_high_noise_14B.safetensors",
            "wan_low_noise_14B.safetensors",
        ],
        // The other way round in a list of files.
        ["z-HighNoise.safetensors", "a-LowNoise.safetensors"],
    ] {
        let place = tempfile::tempdir()?;
        folder(place.path(), names.map(Some))?;
        let found = ModelFolder::open(place.path())?;
        let [first, second] = [
            print(&found, "transformer")?,
            print(&found, "transformer_2")?,
        ];
        if first != high || second == high {
            return Err(format!("{names:?}: the experts are others").into());
        }
        if found.config()?.transformer_2.is_none() {
            return Err(format!("{names:?}: one expert").into());
        }
    }
    let place = tempfile::tempdir()?;
    folder(
        place.path(),
        [Some("one.safetensors"), Some("two.safetensors")],
    )?;
    match ModelFolder::open(place.path()) {
        Err(error @ ConfigError::TwoOfAKind { .. }) => {
            let text = error.to_string();
            if !text.contains("transformer_2") || !text.contains("low_noise") {
                return Err(text.into());
            }
        }
        other => return Err(format!("names that say nothing: {other:?}").into()),
    }
    // One expert alone is the model's one transformer.
    let place = tempfile::tempdir()?;
    folder(place.path(), [None, Some("low_noise.safetensors")])?;
    let alone = ModelFolder::open(place.path())?;
    if print(&alone, "transformer")? == high {
        return Err("one expert alone is another".into());
    }
    // What lies in a part's place is said where the part is missed.
    let place = tempfile::tempdir()?;
    folder(place.path(), [Some("high_noise.safetensors"), None])?;
    let vae = place.path().join("vae.safetensors");
    fs::write(vae, "version https://git-lfs.github.com/spec/v1\n")?;
    match ModelFolder::open(place.path())?.config() {
        Err(error @ ConfigError::NoPart { .. }) if error.to_string().contains("git-lfs") => Ok(()),
        other => Err(format!("a pointer for an autoencoder: {other:?}").into()),
    }
}
