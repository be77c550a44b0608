//! Configurations: the fixtures', the released models', and the sentence that a broken one gets.

use std::path::Path;

use serde_json::{Value, json};

use super::{Defaults, ModelConfig, ModelFolder, SchedulerName};
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
fn released_models_are_recognised() {
    let released = |heads: u32, layers: u32, expert: bool, five_b: bool| {
        let mut changes = vec![
            (TEXT, "d_model", json!(4096)),
            (TEXT, "num_layers", json!(24)),
            (TRANSFORMER, "text_dim", json!(4096)),
            (TRANSFORMER, "attention_head_dim", json!(128)),
            (TRANSFORMER, "num_attention_heads", json!(heads)),
            (TRANSFORMER, "num_layers", json!(layers)),
        ];
        if five_b {
            changes.extend([
                (INDEX, "expand_timesteps", json!(true)),
                (TRANSFORMER, "in_channels", json!(48)),
                (TRANSFORMER, "out_channels", json!(48)),
                (VAE, "z_dim", json!(48)),
                (VAE, "latents_mean", json!(vec![0.5; 48])),
                (VAE, "latents_std", json!(vec![0.5; 48])),
                (VAE, "is_residual", json!(true)),
                (VAE, "patch_size", json!(2)),
                (VAE, "out_channels", json!(12)),
                (VAE, "in_channels", json!(12)),
                (VAE, "scale_factor_spatial", json!(16)),
            ]);
        }
        let mut all = files();
        for (file, field, value) in &changes {
            let (_, json) = all.iter_mut().find(|(path, _)| path == file).unwrap();
            json[*field] = value.clone();
        }
        if expert {
            all[0].1["transformer_2"] = json!(["diffusers", "WanTransformer3DModel"]);
            all[0].1["boundary_ratio"] = json!(0.875);
            let second = all[2].1.clone();
            all.push(("transformer_2/config.json", second));
        }
        folder(all).config().unwrap().defaults
    };
    let summary = |d: Defaults| {
        (
            d.name,
            d.width,
            d.height,
            d.frames,
            d.fps,
            d.steps,
            d.shift,
            d.guidance,
            d.guidance_2,
        )
    };
    let name = str::to_owned;
    assert_eq!(
        summary(released(12, 30, false, false)),
        (
            name("Wan2.1-T2V-1.3B"),
            832,
            480,
            81,
            16.0,
            50,
            Some(5.0),
            5.0,
            None
        )
    );
    assert_eq!(
        summary(released(40, 40, false, false)),
        (
            name("Wan2.1-T2V-14B"),
            832,
            480,
            81,
            16.0,
            50,
            Some(5.0),
            5.0,
            None
        )
    );
    assert_eq!(
        summary(released(40, 40, true, false)),
        (
            name("Wan2.2-T2V-A14B"),
            832,
            480,
            81,
            16.0,
            40,
            Some(12.0),
            4.0,
            Some(3.0)
        )
    );
    assert_eq!(
        summary(released(24, 30, false, true)),
        (
            name("Wan2.2-TI2V-5B"),
            1280,
            704,
            121,
            24.0,
            50,
            Some(5.0),
            5.0,
            None
        )
    );
    assert_eq!(released(13, 30, false, false), Defaults::pipeline("M"));
}

#[test]
fn one_sentence_names_file_and_field() {
    for (file, field, value, expected) in [
        (
            INDEX,
            "_class_name",
            json!("WanImageToVideoPipeline"),
            "M/model_index.json: _class_name is \"WanImageToVideoPipeline\", but Kinora knows WanPipeline and WanDMDPipeline",
        ),
        (
            INDEX,
            "_class_name",
            json!("absent"),
            "M/model_index.json has no field _class_name",
        ),
        (
            INDEX,
            "scheduler",
            json!(["diffusers", "DDIMScheduler"]),
            "M/model_index.json: scheduler is [\"diffusers\",\"DDIMScheduler\"], but Kinora knows UniPCMultistepScheduler and FlowMatchEulerDiscreteScheduler",
        ),
        (
            INDEX,
            "vae",
            json!(null),
            "M/model_index.json: vae is null, expected [library, class] with the class AutoencoderKLWan",
        ),
        (
            INDEX,
            "boundary_ratio",
            json!(0.9),
            "M/model_index.json: boundary_ratio is 0.9, expected null, since there is no transformer_2",
        ),
        (
            INDEX,
            "expand_timesteps",
            json!(1),
            "M/model_index.json: expand_timesteps is 1, expected true or false",
        ),
        (
            INDEX,
            "transformer_2",
            json!(["diffusers", "WanTransformer3DModel"]),
            "M/model_index.json: boundary_ratio is null, expected a number from 0 to 1, since transformer_2 is given",
        ),
        (
            TEXT,
            "model_type",
            json!("t5"),
            "M/text_encoder/config.json: model_type is \"t5\", but Kinora knows umt5",
        ),
        (
            TEXT,
            "feed_forward_proj",
            json!("relu"),
            "M/text_encoder/config.json: feed_forward_proj is \"relu\", expected \"gated-gelu\"",
        ),
        (
            TEXT,
            "num_heads",
            json!(0),
            "M/text_encoder/config.json: num_heads is 0, expected a whole number from 1 to 1024",
        ),
        (
            TEXT,
            "d_ff",
            json!(1e30),
            "M/text_encoder/config.json: d_ff is 1e+30, expected a whole number from 1 to 262144",
        ),
        (
            TEXT,
            "relative_attention_num_buckets",
            json!(30),
            "M/text_encoder/config.json: relative_attention_num_buckets is 30, expected a multiple of 4",
        ),
        (
            TEXT,
            "relative_attention_max_distance",
            json!(8),
            "M/text_encoder/config.json: relative_attention_max_distance is 8, expected more than a quarter of the 32 buckets",
        ),
        (
            TRANSFORMER,
            "_class_name",
            json!("FluxTransformer2DModel"),
            "M/transformer/config.json: _class_name is \"FluxTransformer2DModel\", but Kinora knows WanTransformer3DModel",
        ),
        (
            TRANSFORMER,
            "image_dim",
            json!(1280),
            "M/transformer/config.json: image_dim is 1280, which is an image-to-video model; Kinora does not support that yet",
        ),
        (
            TRANSFORMER,
            "in_channels",
            json!(36),
            "M/transformer/config.json: in_channels is 36, expected 16, as many as out_channels (more are for image-to-video and control models, which Kinora does not support yet)",
        ),
        (
            TRANSFORMER,
            "attention_head_dim",
            json!(17),
            "M/transformer/config.json: attention_head_dim is 17, expected an even number",
        ),
        (
            TRANSFORMER,
            "num_layers",
            json!("30"),
            "M/transformer/config.json: num_layers is \"30\", expected a whole number from 1 to 1024",
        ),
        (
            TRANSFORMER,
            "num_layers",
            json!(-1),
            "M/transformer/config.json: num_layers is -1, expected a whole number from 1 to 1024",
        ),
        (
            TRANSFORMER,
            "ffn_dim",
            json!(1u64 << 40),
            "M/transformer/config.json: ffn_dim is 1099511627776, expected a whole number from 1 to 262144",
        ),
        (
            TRANSFORMER,
            "patch_size",
            json!([2, 2, 2]),
            "M/transformer/config.json: patch_size is [2,2,2], expected three whole numbers, the first of them 1",
        ),
        (
            TRANSFORMER,
            "patch_size",
            json!([1, 2]),
            "M/transformer/config.json: patch_size is [1,2], expected three whole numbers, the first of them 1",
        ),
        (
            TRANSFORMER,
            "patch_size",
            json!(2),
            "M/transformer/config.json: patch_size is 2, expected a list, each a whole number from 1 to 16",
        ),
        (
            TRANSFORMER,
            "eps",
            json!(null),
            "M/transformer/config.json: eps is null, expected a number from 0 to 1",
        ),
        (
            TRANSFORMER,
            "text_dim",
            json!(64),
            "M/transformer/config.json: text_dim is 64, but d_model of M/text_encoder/config.json makes it 32; the two are not of the same model",
        ),
        (
            VAE,
            "z_dim",
            json!(48),
            "M/vae/config.json: latents_mean is absent, expected 48 numbers, one for each of z_dim",
        ),
        (
            VAE,
            "latents_std",
            json!([0.0]),
            "M/vae/config.json: latents_std is [0.0], expected a list, each a number from 0.000001 to 1000000",
        ),
        (
            VAE,
            "temperal_downsample",
            json!([true]),
            "M/vae/config.json: temperal_downsample is [true], expected 3 values, one less than dim_mult has",
        ),
        (
            VAE,
            "scale_factor_spatial",
            json!(16),
            "M/vae/config.json: scale_factor_spatial is 16, expected 8, which dim_mult and patch_size make",
        ),
        (
            VAE,
            "scale_factor_temporal",
            json!(8),
            "M/vae/config.json: scale_factor_temporal is 8, expected 4, which temperal_downsample makes",
        ),
        (
            VAE,
            "out_channels",
            json!(12),
            "M/vae/config.json: out_channels is 12, expected 3, which is 3 · patch_size²",
        ),
        (
            VAE,
            "dim_mult",
            json!([]),
            "M/vae/config.json: dim_mult is [], expected a list of 1 to 8 whole numbers",
        ),
    ] {
        let error = with(&[(file, field, value.clone())])
            .unwrap_err()
            .to_string();
        assert_eq!(error, expected, "{file} {field} {value}");
    }
}

#[test]
fn a_decoders_levels_must_fit_each_other() {
    let error = with(&[
        (VAE, "base_dim", json!(1)),
        (VAE, "dim_mult", json!([1, 1, 1, 1])),
    ]);
    assert_eq!(
        error.unwrap_err().to_string(),
        "M/vae/config.json: decoder_base_dim is absent, expected at least 2, since each upsampling halves the channels"
    );
    let error = with(&[
        (VAE, "is_residual", json!(true)),
        (VAE, "dim_mult", json!([1, 2, 3, 5])),
        (VAE, "decoder_base_dim", json!(3)),
    ]);
    assert_eq!(
        error.unwrap_err().to_string(),
        "M/vae/config.json: dim_mult is [1,2,3,5], expected multiples such that 15 channels divide 8 · 9, which the residual shortcut needs"
    );
}

/// FastWan's folders: three steps without guidance, whatever scheduler they name.
#[test]
fn fastvideos_pipeline_is_distilled() {
    let mut files = files();
    for (path, json) in &mut files {
        if *path == "model_index.json" {
            json["_class_name"] = json!("WanDMDPipeline");
        }
    }
    let defaults = folder(files).config().unwrap().defaults;
    assert_eq!(defaults.scheduler, SchedulerName::named("dmd"));
    assert_eq!((defaults.steps, defaults.guidance), (3, 1.0));
    for (name, scheduler) in SchedulerName::ALL {
        assert_eq!(scheduler.name(), name);
    }
}

#[test]
fn kinora_json() {
    let read = |json: Value| {
        let mut files = files();
        files.push(("kinora.json", json));
        folder(files)
            .config()
            .map(|config| config.defaults)
            .map_err(|error| error.to_string())
    };
    let defaults = read(json!({
        "name": "Starter", "width": 192, "height": 112, "frames": 33, "fps": 12, "steps": 8,
        "guidance": 3.5, "shift": 2, "scheduler": "euler", "timesteps": [900, 500],
        "negative_prompt": "blurred",
    }));
    let expected = Defaults {
        name: "Starter".to_owned(),
        width: 192,
        height: 112,
        frames: 33,
        fps: 12.0,
        steps: 8,
        guidance: 3.5,
        guidance_2: None,
        shift: Some(2.0),
        scheduler: Some(SchedulerName::Euler),
        timesteps: Some(vec![900, 500]),
        negative_prompt: "blurred".to_owned(),
    };
    assert_eq!(defaults, Ok(expected));
    assert_eq!(read(json!({})), Ok(Defaults::pipeline("M")));
    assert_eq!(
        read(json!({"step": 4})),
        Err("M/kinora.json has a field \"step\", expected one of name, width, height, frames, fps, steps, guidance, guidance_2, shift, scheduler, timesteps, negative_prompt".to_owned())
    );
    assert_eq!(
        read(json!({"steps": 0})),
        Err("M/kinora.json: steps is 0, expected a whole number from 1 to 1000".to_owned())
    );
    assert_eq!(
        read(json!({"scheduler": "ddim"})),
        Err("M/kinora.json: scheduler is \"ddim\", expected \"unipc\", \"euler\", \"dmd\" or \"lcm\"".to_owned())
    );
    assert_eq!(
        read(json!([])),
        Err("M/kinora.json is not a JSON object: invalid type: sequence, expected a map at line 1 column 0".to_owned())
    );
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
