//! Configurations: the fixtures' and small ones made here.

mod defaults;
mod faults;

use std::path::Path;

use serde_json::{Value, json};

use super::{Defaults, ModelConfig, ModelFolder};
use crate::error::ConfigError;

/// The files of a small Wan 2.1 model.
fn files() -> Vec<(&'static str, Value)> {
    vec![
        (
            "model_index.json",
            json!({
                "_class_name": "WanPipeline",
                "_diffusers_version": "0.42.1",
                "boundary_ratio": null,
                "expand_timesteps": false,
                "scheduler": ["diffusers", "UniPCMultistepScheduler"],
                "text_encoder": ["transformers", "UMT5EncoderModel"],
                "tokenizer": ["transformers", "T5TokenizerFast"],
                "transformer": ["diffusers", "WanTransformer3DModel"],
                "transformer_2": [null, null],
                "vae": ["diffusers", "AutoencoderKLWan"],
            }),
        ),
        (
            "text_encoder/config.json",
            json!({
                "model_type": "umt5", "vocab_size": 304, "d_model": 32, "d_kv": 8, "d_ff": 56,
                "num_layers": 2, "num_heads": 4, "relative_attention_num_buckets": 32,
                "relative_attention_max_distance": 128, "layer_norm_epsilon": 1e-6,
                "feed_forward_proj": "gated-gelu", "dense_act_fn": "gelu_new",
            }),
        ),
        ("transformer/config.json", transformer()),
        (
            "vae/config.json",
            json!({
                "_class_name": "AutoencoderKLWan", "base_dim": 8, "z_dim": 16,
                "dim_mult": [1, 2, 4, 4], "num_res_blocks": 1, "attn_scales": [],
                "temperal_downsample": [false, true, true], "is_residual": false,
                "in_channels": 3, "out_channels": 3, "patch_size": null,
                "scale_factor_temporal": 4, "scale_factor_spatial": 8,
            }),
        ),
    ]
}

fn transformer() -> Value {
    json!({
        "_class_name": "WanTransformer3DModel", "patch_size": [1, 2, 2],
        "num_attention_heads": 2, "attention_head_dim": 16, "in_channels": 16,
        "out_channels": 16, "text_dim": 32, "freq_dim": 256, "ffn_dim": 56, "num_layers": 2,
        "cross_attn_norm": true, "qk_norm": "rms_norm_across_heads", "eps": 1e-6,
        "image_dim": null, "added_kv_proj_dim": null, "rope_max_seq_len": 1024,
    })
}

/// The folder `M` of these files.
fn folder(files: Vec<(&'static str, Value)>) -> ModelFolder {
    let files = files
        .into_iter()
        .map(|(path, value)| (path, &*value.to_string().into_bytes().leak()));
    ModelFolder::embedded("M", files.collect::<Vec<_>>().leak())
}

/// What is read of the model with `field` of `file` set to `value`; `"absent"` removes it.
fn with(changes: &[(&str, &str, Value)]) -> Result<ModelConfig, ConfigError> {
    let mut files = files();
    for (file, field, value) in changes {
        let (_, json) = files.iter_mut().find(|(path, _)| path == file).unwrap();
        let fields = json.as_object_mut().unwrap();
        if value == "absent" {
            fields.remove(*field).unwrap();
        } else {
            fields.insert((*field).to_owned(), value.clone());
        }
    }
    folder(files).config()
}

const INDEX: &str = "model_index.json";
const TEXT: &str = "text_encoder/config.json";
const TRANSFORMER: &str = "transformer/config.json";
const VAE: &str = "vae/config.json";

#[test]
fn a_small_model() {
    let config = with(&[]).unwrap();
    assert_eq!(config.transformer.dim(), 32);
    assert_eq!(config.transformer.patch_in(), 64);
    assert_eq!(config.transformer.rope_dims(), [8, 4, 4]);
    assert_eq!(config.text_encoder.inner_dim(), 32);
    assert_eq!(config.vae.decoder_dims(), [32, 32, 32, 16, 8]);
    assert_eq!(config.vae.temporal_upsample(), [true, true, false]);
    assert_eq!(config.pixels_per_token(), [16, 16]);
    assert_eq!(config.defaults, Defaults::pipeline("M"));
    assert!(config.transformer_2.is_none());
}

#[test]
fn the_fixtures() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    for (name, experts, expand, patch) in [
        ("wan21", 1, false, 1),
        ("image_euler", 1, false, 1),
        ("ti2v", 1, true, 2),
        ("a14b", 2, false, 1),
    ] {
        let folder = ModelFolder::open(fixtures.join(name).join("model")).unwrap();
        let config = folder.config().unwrap();
        assert_eq!(
            1 + usize::from(config.transformer_2.is_some()),
            experts,
            "{name}"
        );
        assert_eq!(config.pipeline.expand_timesteps, expand, "{name}");
        assert_eq!(config.vae.patch_size, patch, "{name}");
        assert_eq!(config.defaults, Defaults::pipeline("model"), "{name}");
        for part in ["text_encoder", "transformer", "vae"] {
            assert!(
                folder.checkpoint(part).unwrap().names().len() > 10,
                "{name} {part}"
            );
        }
        assert!(folder.tokenizer_json().is_ok() && folder.scheduler_json().is_ok());
    }
}

#[test]
fn absent_fields_have_the_references_defaults() {
    let mut files = files();
    for (path, class) in [
        ("transformer/config.json", "WanTransformer3DModel"),
        ("vae/config.json", "AutoencoderKLWan"),
    ] {
        let (_, json) = files.iter_mut().find(|(file, _)| *file == path).unwrap();
        *json = json!({ "_class_name": class });
    }
    let (_, text) = files.iter_mut().find(|(file, _)| *file == TEXT).unwrap();
    text["d_model"] = json!(4096);
    let config = folder(files).config().unwrap();
    assert_eq!(config.transformer.dim(), 5120);
    assert_eq!(config.transformer.ffn_dim, 13_824);
    assert_eq!(config.vae.decoder_base_dim, 96);
    assert_eq!(config.vae.latents_std.len(), 16);
}

#[test]
fn folders() {
    let dir = tempfile::tempdir().unwrap();
    let shown = dir.path().display().to_string();
    let error = |path: &Path| {
        ModelFolder::open(path)
            .unwrap_err()
            .to_string()
            .replace(&shown, "D")
    };
    assert_eq!(
        error(&dir.path().join("no")),
        "D/no is not a folder; a model is a folder in the diffusers layout, with a model_index.json in it, or one with the files of Wan's own release"
    );
    let layout = "a model is a folder in the diffusers layout, with model_index.json, tokenizer, text_encoder, transformer, vae and scheduler in it";
    assert_eq!(
        error(dir.path()),
        format!("D/model_index.json does not exist; {layout}")
    );
    std::fs::write(dir.path().join("config.json"), "{}").unwrap();
    assert_eq!(
        error(dir.path()),
        format!(
            "D/model_index.json does not exist; {layout}. This looks like one part of a model: name the folder above it"
        )
    );
    std::fs::write(dir.path().join("model_index.json"), "{").unwrap();
    let error = ModelFolder::open(dir.path())
        .unwrap()
        .config()
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with(
            "model_index.json is not a JSON object: EOF while parsing an object at line 1 column 1"
        ),
        "{error}"
    );
    let missing = folder(files()).tokenizer_json().unwrap_err().to_string();
    assert_eq!(
        missing,
        format!("M/tokenizer/tokenizer.json does not exist; {layout}")
    );
}
