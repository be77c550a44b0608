//! Which files of a repository the engine reads.

/// The folders of a model's parts, in the order in which people are shown them.
const PARTS: [&str; 6] = [
    "scheduler",
    "tokenizer",
    "text_encoder",
    "transformer",
    "transformer_2",
    "vae",
];

/// The names that weights go by, as [`crate::weights`] prefers them.
const STEMS: [&str; 2] = ["diffusion_pytorch_model", "model"];

/// The files to fetch from a repository in the diffusers layout, or what it lacks.
///
/// # Errors
/// What is not there, in words.
pub(super) fn needed<'p>(paths: &[&'p str]) -> Result<Vec<&'p str>, String> {
    if !paths.contains(&"model_index.json") {
        let other = if paths
            .iter()
            .any(|path| path.ends_with(".pth") || path.ends_with(".gguf"))
        {
            "; its files are in another layout: look for the repository whose name ends in -Diffusers"
        } else {
            ""
        };
        return Err(format!("it has no model_index.json{other}"));
    }
    let mut needed: Vec<&str> = Vec::new();
    for path in paths {
        // The licence belongs to what is kept of the model.
        let root = ["model_index.json", "kinora.json"].contains(path)
            || (!path.contains('/') && path.to_ascii_uppercase().starts_with("LICENSE"));
        let json = split(path).is_some_and(|(part, file)| {
            PARTS.contains(&part) && file.ends_with(".json") && !file.contains(".index.")
        });
        if root || json {
            needed.push(path);
        }
    }
    for part in PARTS {
        let files: Vec<(&str, &'p str)> = paths
            .iter()
            .filter_map(|path| {
                split(path)
                    .filter(|(of, _)| *of == part)
                    .map(|(_, file)| (file, *path))
            })
            .collect();
        let weights = weights(&files);
        let other = files
            .iter()
            .find(|(file, _)| file.ends_with(".bin") || file.ends_with(".pth"));
        if let (true, Some((_, other))) = (weights.is_empty(), other) {
            return Err(format!("{part} has no safetensors, but {other}"));
        }
        needed.extend(weights);
    }
    for part in ["text_encoder", "transformer", "vae"] {
        let there = |path: &&str| {
            split(path).is_some_and(|(of, file)| of == part && file.ends_with(".safetensors"))
        };
        if !needed.iter().any(there) {
            return Err(format!("it has no {part}/*.safetensors"));
        }
    }
    Ok(needed)
}

/// A part's weights: one set of them, with its index where it is in shards.
fn weights<'p>(files: &[(&str, &'p str)]) -> Vec<&'p str> {
    let named = |wanted: &str| {
        files
            .iter()
            .find(|(file, _)| *file == wanted)
            .map(|(_, path)| *path)
    };
    for stem in STEMS {
        if let Some(index) = named(&format!("{stem}.safetensors.index.json")) {
            let shard = |file: &str| {
                let numbers = file
                    .strip_prefix(stem)?
                    .strip_prefix('-')?
                    .strip_suffix(".safetensors")?;
                numbers
                    .chars()
                    .all(|c| c.is_ascii_digit() || "-of".contains(c))
                    .then_some(())
            };
            let shards = files.iter().filter(|(file, _)| shard(file).is_some());
            return shards.map(|(_, path)| *path).chain([index]).collect();
        }
    }
    for stem in STEMS {
        if let Some(single) = named(&format!("{stem}.safetensors")) {
            return vec![single];
        }
    }
    // Names of their own: whatever is there, and an index to it.
    let own =
        |file: &str| file.ends_with(".safetensors") || file.ends_with(".safetensors.index.json");
    files
        .iter()
        .filter(|(file, _)| own(file))
        .map(|(_, path)| *path)
        .collect()
}

/// Part and file of a path that is one folder deep.
fn split(path: &str) -> Option<(&str, &str)> {
    path.split_once('/').filter(|(_, file)| !file.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_set_of_weights_and_no_pictures() {
        let paths = [
            ".gitattributes",
            "README.md",
            "LICENSE.txt",
            "assets/a.mp4",
            "model_index.json",
            "scheduler/scheduler_config.json",
            "text_encoder/config.json",
            "text_encoder/model-00001-of-00002.safetensors",
            "text_encoder/model-00002-of-00002.safetensors",
            "text_encoder/model.safetensors.index.json",
            "text_encoder/model.fp16.safetensors",
            "text_encoder/pytorch_model.bin",
            "tokenizer/spiece.model",
            "tokenizer/tokenizer.json",
            "transformer/config.json",
            "transformer/diffusion_pytorch_model.bin",
            "transformer/diffusion_pytorch_model.safetensors",
            "vae/config.json",
            "vae/diffusion_pytorch_model.safetensors",
            "vae/old/diffusion_pytorch_model.safetensors",
            "image_encoder/model.safetensors",
        ];
        let mut found = needed(&paths).unwrap();
        found.sort_unstable();
        let expected = [
            "LICENSE.txt",
            "model_index.json",
            "scheduler/scheduler_config.json",
            "text_encoder/config.json",
            "text_encoder/model-00001-of-00002.safetensors",
            "text_encoder/model-00002-of-00002.safetensors",
            "text_encoder/model.safetensors.index.json",
            "tokenizer/tokenizer.json",
            "transformer/config.json",
            "transformer/diffusion_pytorch_model.safetensors",
            "vae/config.json",
            "vae/diffusion_pytorch_model.safetensors",
        ];
        assert_eq!(found, expected);
        assert!(
            needed(&["Wan2.1_VAE.pth"])
                .unwrap_err()
                .contains("-Diffusers")
        );
        let bin = needed(&["model_index.json", "vae/diffusion_pytorch_model.bin"]);
        assert!(bin.unwrap_err().contains("safetensors"));
    }
}
