//! Which model: folders, names, single files, LoRAs, and what its weights are held in.

use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use kinora::model_files::PartFiles;
use kinora::model_files::lora::Lora;
use kinora::model_files::matrices::{small_type, small_type_names};
use kinora::tensor::DType;

/// Which model.
#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    /// Folder of a Wan model, in the diffusers layout or as Wan released it, or the name of one that
    /// 'kinora pull' fetched [default: the starter that Kinora brings]
    #[arg(short, long, value_name = "DIR|NAME", value_hint = ValueHint::AnyPath)]
    pub model: Option<PathBuf>,
    /// A transformer in place of the model's: safetensors or GGUF, as ComfyUI has them; of two
    /// experts the one for high noise
    #[arg(long, value_name = "FILE", help_heading = "Model in single files", value_hint = ValueHint::FilePath)]
    pub transformer: Option<PathBuf>,
    /// The expert for low noise
    #[arg(long, value_name = "FILE", help_heading = "Model in single files", value_hint = ValueHint::FilePath)]
    pub transformer_2: Option<PathBuf>,
    /// A UMT5 text encoder in place of the model's
    #[arg(long, value_name = "FILE", help_heading = "Model in single files", value_hint = ValueHint::FilePath)]
    pub text_encoder: Option<PathBuf>,
    /// A CLIP image encoder in place of the model's, of models that see images
    #[arg(long, value_name = "FILE", help_heading = "Model in single files", value_hint = ValueHint::FilePath)]
    pub image_encoder: Option<PathBuf>,
    /// An autoencoder in place of the model's
    #[arg(long, value_name = "FILE", help_heading = "Model in single files", value_hint = ValueHint::FilePath)]
    pub vae: Option<PathBuf>,
    /// The text encoder's tokenizer.json or spiece.model [default: the model's, one beside the text
    /// encoder, or the one within it]
    #[arg(long, value_name = "FILE", help_heading = "Model in single files", value_hint = ValueHint::FilePath)]
    pub tokenizer: Option<PathBuf>,
    /// A LoRA for the transformer, with its strength; may be given again. high=FILE and low=FILE
    /// mean one of two experts
    #[arg(long, value_name = "[high=|low=]FILE[:STRENGTH]", value_hint = ValueHint::FilePath)]
    pub lora: Vec<Lora>,
}

impl ModelArgs {
    /// The parts that are files of their own.
    pub(crate) fn parts(&self) -> PartFiles {
        PartFiles {
            transformer: self.transformer.clone(),
            transformer_2: self.transformer_2.clone(),
            text_encoder: self.text_encoder.clone(),
            image_encoder: self.image_encoder.clone(),
            vae: self.vae.clone(),
            tokenizer: self.tokenizer.clone(),
        }
    }

    /// Takes what `other` names, as `place` makes it.
    pub(crate) fn take_from(&mut self, other: &Self, place: &dyn Fn(&Path) -> PathBuf) {
        for (own, other) in [
            (&mut self.model, &other.model),
            (&mut self.transformer, &other.transformer),
            (&mut self.transformer_2, &other.transformer_2),
            (&mut self.text_encoder, &other.text_encoder),
            (&mut self.image_encoder, &other.image_encoder),
            (&mut self.vae, &other.vae),
            (&mut self.tokenizer, &other.tokenizer),
        ] {
            if let Some(path) = other {
                *own = Some(place(path));
            }
        }
        if !other.lora.is_empty() {
            let placed = |lora: &Lora| Lora {
                file: place(&lora.file),
                ..lora.clone()
            };
            self.lora = other.lora.iter().map(placed).collect();
        }
    }

    /// What was typed, under the keys that a clip carries.
    pub(crate) fn typed(&self) -> impl Iterator<Item = (String, String)> {
        let paths = [
            &self.model,
            &self.transformer,
            &self.transformer_2,
            &self.text_encoder,
            &self.image_encoder,
            &self.vae,
            &self.tokenizer,
        ];
        let keys = MODEL_PATHS.iter().zip(paths);
        let paths = keys.filter_map(|(key, path)| {
            Some(((*key).to_owned(), path.as_ref()?.display().to_string()))
        });
        let loras: Vec<String> = self.lora.iter().map(Lora::to_string).collect();
        let loras = (!loras.is_empty()).then(|| (LORAS.to_owned(), loras.join("\n")));
        paths.chain(loras)
    }
}

/// The key under which a clip's metadata have the LoRAs, a line each, as they are typed.
pub(crate) const LORAS: &str = "loras";

/// Where the model was, as it was typed: the keys in a clip's metadata.
const MODEL_PATHS: [&str; 7] = [
    "model_path",
    "transformer_path",
    "transformer_2_path",
    "text_encoder_path",
    "image_encoder_path",
    "vae_path",
    "tokenizer_path",
];

/// In what the model's weights are held.
#[derive(Debug, Args)]
pub(crate) struct QuantizeArgs {
    #[arg(long, value_name = "TYPE", help_heading = "Device", value_parser = small_type, help = quantize_help())]
    pub quantize: Option<DType>,
}

/// What `--quantize` does, and the types that it takes.
fn quantize_help() -> String {
    format!(
        "Hold the blocks' matrices in a smaller type than their files do: {}. Streamed weights are quantised each time they pass; 'kinora convert' does it once",
        small_type_names()
    )
}
