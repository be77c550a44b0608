//! Which files of a repository the engine reads.

/// The folders of a model's parts, in the order in which people are shown them.
const PARTS: [&str; 7] = [
    "scheduler",
    "tokenizer",
    "text_encoder",
    "image_encoder",
    "transformer",
    "transformer_2",
    "vae",
];

/// The names that weights go by, as the engine prefers them.
const STEMS: [&str; 2] = ["diffusion_pytorch_model", "model"];

/// Where Wan's own release has a transformer, or two.
const EXPERTS: [&str; 3] = ["", "high_noise_model", "low_noise_model"];

/// Its tokenizer.
const TOKENIZER: &str = "google/umt5-xxl";

/// The tokenizer files in order of preference; other tokenizer files are not read.
const TOKENIZERS: [&str; 2] = ["tokenizer.json", "spiece.model"];

/// The files to fetch from a repository in the diffusers layout or that of Wan's own release.
///
/// # Errors
/// A sentence that names the missing files.
pub(crate) fn needed<'p>(paths: &[&'p str]) -> Result<Vec<&'p str>, String> {
    // The licence is kept with the model.
    let licence =
        |path: &&&str| !path.contains('/') && path.to_ascii_uppercase().starts_with("LICENSE");
    let mut needed: Vec<&str> = paths.iter().filter(licence).copied().collect();
    needed.extend(if paths.contains(&"model_index.json") {
        diffusers(paths)?
    } else if paths.iter().any(|path| is_original(path)) {
        original(paths)?
    } else {
        return Err(
            "it has neither a model_index.json nor the files of Wan's own release".to_owned(),
        );
    });
    Ok(needed)
}

/// Whether a file is one that Wan's own releases have.
pub(crate) fn is_original(path: &str) -> bool {
    path.starts_with("Wan") && path.ends_with("_VAE.pth")
}

fn original<'p>(paths: &[&'p str]) -> Result<Vec<&'p str>, String> {
    let encoder = |path: &str| path.starts_with("models_t5_") && path.ends_with(".pth");
    let sees = |path: &str| path.starts_with("models_clip_") && path.ends_with(".pth");
    let part = |path: &&&str| is_original(path) || encoder(path) || sees(path);
    let mut needed: Vec<&str> = paths.iter().filter(part).copied().collect();
    let parts = needed.len();
    for expert in EXPERTS {
        let inside = |path: &&'p str| {
            let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
            (folder == expert).then_some((file, *path))
        };
        let files: Vec<(&str, &str)> = paths.iter().filter_map(inside).collect();
        let weights = weights(&files);
        let config = files.iter().filter(|(file, _)| *file == "config.json");
        needed.extend(
            config
                .map(|(_, path)| *path)
                .filter(|_| !weights.is_empty()),
        );
        needed.extend(weights);
    }
    match (needed.len() > parts, paths.iter().any(|path| encoder(path))) {
        (true, true) => {
            needed.push(tokenizer(paths, TOKENIZER)?);
            Ok(needed)
        }
        (false, _) => Err("it has no safetensors of a transformer".to_owned()),
        (_, false) => Err("it has no text encoder (models_t5_*.pth)".to_owned()),
    }
}

/// The tokenizer in a folder.
///
/// # Errors
/// A message if the folder has no tokenizer.
fn tokenizer<'p>(paths: &[&'p str], folder: &str) -> Result<&'p str, String> {
    let named = |file: &&str| {
        let wanted = format!("{folder}/{file}");
        paths.iter().find(|path| **path == wanted).copied()
    };
    let found = TOKENIZERS.iter().find_map(named);
    found.ok_or_else(|| format!("it has no tokenizer ({folder}/{})", TOKENIZERS.join(" or ")))
}

fn diffusers<'p>(paths: &[&'p str]) -> Result<Vec<&'p str>, String> {
    let mut needed: Vec<&str> = Vec::new();
    for path in paths {
        let root = ["model_index.json", "kinora.json"].contains(path);
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
    let tokenizer = tokenizer(paths, "tokenizer")?;
    if !needed.contains(&tokenizer) {
        needed.push(tokenizer);
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
    fn one_set_of_weights_of_the_parts_that_are_read() {
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
            "image_processor/preprocessor_config.json",
            "assets/picture.safetensors",
        ];
        let mut found = needed(&paths).unwrap();
        found.sort_unstable();
        let expected = [
            "LICENSE.txt",
            "image_encoder/model.safetensors",
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
        let spiece = paths.map(|path| match path {
            "tokenizer/tokenizer.json" => "tokenizer/tokenizer_config.json",
            path => path,
        });
        let found = needed(&spiece).unwrap();
        assert!(found.contains(&"tokenizer/spiece.model"), "{found:?}");
        let without = spiece.map(|path| path.trim_end_matches("spiece.model"));
        assert_eq!(
            needed(&without).unwrap_err(),
            "it has no tokenizer (tokenizer/tokenizer.json or spiece.model)"
        );
        let bin = needed(&["model_index.json", "vae/diffusion_pytorch_model.bin"]);
        assert!(bin.unwrap_err().contains("safetensors"));
    }
    #[test]
    fn files_of_wans_own_release() {
        let paths = [
            "LICENSE.txt",
            "Wan2.1_VAE.pth",
            "assets/logo.png",
            "config.json",
            "diffusion_pytorch_model.safetensors",
            "examples/a.jpg",
            "google/umt5-xxl/special_tokens_map.json",
            "google/umt5-xxl/spiece.model",
            "google/umt5-xxl/tokenizer.json",
            "models_t5_umt5-xxl-enc-bf16.pth",
        ];
        let mut found = needed(&paths).unwrap();
        found.sort_unstable();
        let expected = [
            "LICENSE.txt",
            "Wan2.1_VAE.pth",
            "config.json",
            "diffusion_pytorch_model.safetensors",
            "google/umt5-xxl/tokenizer.json",
            "models_t5_umt5-xxl-enc-bf16.pth",
        ];
        assert_eq!(found, expected);
        // One with a SentencePiece model alone, and one without either.
        let spiece: Vec<&str> = paths
            .into_iter()
            .filter(|path| !path.ends_with("/tokenizer.json"))
            .collect();
        let found = needed(&spiece).unwrap();
        assert!(found.contains(&"google/umt5-xxl/spiece.model"), "{found:?}");
        let without: Vec<&str> = spiece
            .into_iter()
            .filter(|path| !path.ends_with("spiece.model"))
            .collect();
        assert_eq!(
            needed(&without).unwrap_err(),
            "it has no tokenizer (google/umt5-xxl/tokenizer.json or spiece.model)"
        );
        let shards = [
            "google/umt5-xxl/tokenizer.json",
            "high_noise_model/config.json",
            "high_noise_model/diffusion_pytorch_model-00001-of-00001.safetensors",
            "high_noise_model/diffusion_pytorch_model.safetensors.index.json",
            "low_noise_model/diffusion_pytorch_model.safetensors",
            "Wan2.1_VAE.pth",
            "models_t5_umt5-xxl-enc-bf16.pth",
        ];
        assert_eq!(needed(&shards).unwrap().len(), shards.len());
        for lacking in [&shards[..6], &shards[5..]] {
            assert!(needed(lacking).unwrap_err().contains("it has no"));
        }
        assert!(
            needed(&["unet/model.safetensors"])
                .unwrap_err()
                .contains("model_index.json")
        );
    }
}
