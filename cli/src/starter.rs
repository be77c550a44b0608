//! The model that comes with the program.

use kinora::model_files::ModelFolder;

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_bytes!(concat!("../../models/starter/weights/", $path)))),*]
    };
}

/// Its files: path inside the folder, contents.
const FILES: &[(&str, &[u8])] = files![
    "model_index.json",
    "kinora.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/tokenizer.json",
    "transformer/config.json",
    "transformer/diffusion_pytorch_model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
];

/// The starter, as a model's folder.
pub(crate) fn folder() -> ModelFolder {
    ModelFolder::embedded("starter", FILES)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_starter_is_small_and_whole() {
        let bytes: usize = super::FILES.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(bytes <= 28_000_000, "{bytes} bytes");
        super::folder().config().unwrap();
    }
}
