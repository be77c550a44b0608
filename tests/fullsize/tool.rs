//! Writes a released model at full size with made-up weights: a folder in the diffusers layout.
//!
//! `cargo run --release --example full-size -- wan2.1-1.3b DIR [--tokenizer FILE] [--text-layers N]`

#![allow(unreachable_pub, reason = "the modules are shared with a test program")]

mod file;
mod shapes;
mod values;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use kinora::model_files::ModelFolder;
use kinora::tensor::DType;

const USAGE: &str = "full-size MODEL DIR [--tokenizer FILE] [--text-layers N]
  MODEL             wan2.1-1.3b, wan2.1-14b, wan2.2-a14b, wan2.2-5b, wan2.1-i2v-14b or another short name
  DIR               the folder to make
  --tokenizer FILE  tokenizer.json of UMT5 to put into it
  --text-layers N   of the text encoder's layers only so many have values, the others are zeros
                    that take no room on the disk [default: all]";

fn main() -> Result<(), Box<dyn Error>> {
    let mut places = Vec::new();
    let (mut tokenizer, mut text_layers) = (None, usize::MAX);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--tokenizer" => tokenizer = Some(PathBuf::from(arguments.next().ok_or(USAGE)?)),
            "--text-layers" => text_layers = arguments.next().ok_or(USAGE)?.parse()?,
            _ => places.push(argument),
        }
    }
    let [model, folder] = places.as_slice() else {
        return Err(USAGE.into());
    };
    let (like, folder) = (ModelFolder::like(model)?, Path::new(folder));
    let config = like.config()?;
    for file in [
        "model_index.json",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "image_encoder/config.json",
        "transformer/config.json",
        "transformer_2/config.json",
        "vae/config.json",
    ] {
        if like.contains(file) {
            let (_, text) = like.config_json(file)?;
            fs::create_dir_all(folder.join(file).parent().ok_or("a folder")?)?;
            fs::write(folder.join(file), text)?;
        }
    }
    if let Some(file) = tokenizer {
        fs::create_dir_all(folder.join("tokenizer"))?;
        fs::copy(file, folder.join("tokenizer/tokenizer.json"))?;
    }
    let is_hollow = |name: &str| {
        let layer = name.strip_prefix("encoder.block.");
        let layer = layer.and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
        layer.is_some_and(|layer| layer >= text_layers)
    };
    let text = shapes::text_encoder(&config.text_encoder);
    let file = folder.join("text_encoder/model.safetensors");
    written(&file, &text, DType::BF16, &is_hollow)?;
    if let Some(config) = &config.image_encoder {
        let file = folder.join("image_encoder/model.safetensors");
        let tensors = shapes::image_encoder(config);
        written(&file, &tensors, DType::BF16, &|_| false)?;
    }
    let weights = "diffusion_pytorch_model.safetensors";
    let second = config.transformer_2.as_ref();
    for (part, config) in [
        ("transformer", Some(&config.transformer)),
        ("transformer_2", second),
    ] {
        if let Some(config) = config {
            let file = folder.join(part).join(weights);
            written(&file, &shapes::transformer(config), DType::BF16, &|_| false)?;
        }
    }
    let table = match config.vae.is_residual {
        true => shapes::WAN22_VAE,
        false => shapes::WAN21_VAE,
    };
    let file = folder.join("vae").join(weights);
    let tensors = [shapes::encoder(table), shapes::decoder(table)].concat();
    written(&file, &tensors, DType::F32, &|_| false)
}

fn written(
    path: &Path,
    tensors: &[shapes::Named],
    dtype: DType,
    is_hollow: &dyn Fn(&str) -> bool,
) -> Result<(), Box<dyn Error>> {
    file::write(path, tensors, dtype, is_hollow)?;
    let bytes = fs::metadata(path)?.len();
    println!("{} ({:.1} GB)", path.display(), bytes as f64 / 1e9);
    Ok(())
}
