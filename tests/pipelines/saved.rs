//! One model in every layout and element type that people have it in: the same clip.
//!
//! The fixtures' weights are written anew in the tests, under the names that the reference's
//! converters begin from.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use kinora::gpu::Gpu;
use kinora::model_files::{Layout, ModelFolder, PartFiles};
use kinora::weights::Checkpoint;
use kinora::{Cancel, Engine, Request};
use libtest_mimic::{Failed, Trial};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};

use crate::decode;
use crate::harness::compare::relative_l2;
use crate::harness::device_test;

/// Trials of all layouts.
pub fn trials() -> Vec<Trial> {
    ["wan21", "ti2v", "a14b"]
        .into_iter()
        .map(|kind| device_test(format!("saved/{kind}"), move |gpu| saved(gpu, kind)))
        .collect()
}

/// What is written, and how far from the fixture's own f32 in the diffusers layout its latents may
/// be: the same numbers in another layout change no bit.
///
/// Weights rounded to f16 move a fixture's latents by 4e-4 and more, bf16 by eight times that
/// (`fixtures/README.md`); a tensor mistaken for another moves them by far more.
const WRITTEN: [(Layout, Dtype, f64); 4] = [
    (Layout::Original, Dtype::F32, 0.0),
    (Layout::Files, Dtype::F32, 0.0),
    (Layout::Files, Dtype::F16, 1e-2),
    (Layout::Original, Dtype::BF16, 8e-2),
];

fn saved(gpu: &Gpu, kind: &str) -> Result<(), Failed> {
    let fixture = crate::own_fixtures().join(kind);
    let model = Model::read(&fixture.join("model"))?;
    let (engine, request) = crate::open(gpu, &fixture)?;
    let exact = clip(&engine, &request)?;
    let request = model.request(request)?;
    for (layout, dtype, bound) in WRITTEN {
        let dir = tempfile::tempdir()?;
        let folder = model.write(dir.path(), layout, dtype)?;
        if folder.layout() != layout {
            return Err(format!("{layout} is taken for {}", folder.layout()).into());
        }
        let made = clip(&Engine::new(gpu.clone(), folder)?, &request)?;
        let distance = relative_l2(&made.latents, &exact.latents);
        println!("  {dtype:?}, {layout}: {distance:.1e} from f32");
        if distance > bound {
            return Err(format!("{dtype:?}, {layout}: {distance:.1e} from f32").into());
        }
        if bound == 0.0 && made != exact {
            return Err(format!("{layout}: other bits").into());
        }
    }
    Ok(())
}

/// A clip's latents and frames.
#[derive(PartialEq)]
struct Made {
    latents: Vec<f32>,
    frames: Vec<Vec<u8>>,
}

fn clip(engine: &Engine, request: &Request) -> Result<Made, Failed> {
    let latents = engine
        .prepare(request)?
        .sample(&mut |_| {}, &Cancel::new())?;
    let mut frames = Vec::new();
    decode(engine, &latents, &mut |_| {}, &mut |_, rgb| {
        frames.push(rgb.to_vec());
    })?;
    Ok(Made {
        latents: latents.values,
        frames,
    })
}

/// A part's tensors: name, shape, values.
pub type Tensors = Vec<(String, Vec<usize>, Vec<f32>)>;

/// A fixture's model in memory.
pub struct Model {
    pub folder: PathBuf,
    pub parts: BTreeMap<&'static str, Tensors>,
}

impl Model {
    pub fn read(folder: &Path) -> Result<Self, Failed> {
        let mut parts = BTreeMap::new();
        for part in ["text_encoder", "transformer", "transformer_2", "vae"] {
            if !folder.join(part).is_dir() {
                continue;
            }
            let checkpoint = Checkpoint::open(folder.join(part), part)?;
            let mut tensors = Tensors::new();
            for name in checkpoint.names() {
                let view = checkpoint.get_any(name)?;
                tensors.push((name.to_owned(), view.shape.to_vec(), view.to_f32()));
            }
            parts.insert(part, tensors);
        }
        Ok(Self {
            folder: folder.to_owned(),
            parts,
        })
    }

    fn config(&self, part: &str, file: &str) -> Result<Value, Failed> {
        Ok(serde_json::from_slice(&fs::read(
            self.folder.join(part).join(file),
        )?)?)
    }

    /// The request with what only the diffusers layout says: the schedule's shift.
    pub fn request(&self, request: Request) -> Result<Request, Failed> {
        let scheduler = self.config("scheduler", "scheduler_config.json")?;
        let mut request = request;
        request.shift = scheduler["flow_shift"].as_f64();
        Ok(request)
    }

    /// Writes the model below `dir` and opens it.
    fn write(&self, dir: &Path, layout: Layout, dtype: Dtype) -> Result<ModelFolder, Failed> {
        let dir = dir.join(format!("{layout:?}"));
        fs::create_dir_all(&dir)?;
        let tokenizer = self.folder.join("tokenizer/tokenizer.json");
        Ok(match layout {
            Layout::Original => {
                let two = self.parts.contains_key("transformer_2");
                for (part, tensors) in &self.parts {
                    let (file, config) = match *part {
                        "text_encoder" => (
                            "models_t5_umt5-xxl-enc-bf16",
                            "models_t5_umt5-xxl-enc-bf16.json",
                        ),
                        "vae" => ("Wan_VAE", "Wan_VAE.json"),
                        "transformer_2" => (
                            "low_noise_model/diffusion_pytorch_model",
                            "low_noise_model/config.json",
                        ),
                        _ if two => (
                            "high_noise_model/diffusion_pytorch_model",
                            "high_noise_model/config.json",
                        ),
                        _ => ("diffusion_pytorch_model", "config.json"),
                    };
                    let file = dir.join(format!("{file}.safetensors"));
                    fs::create_dir_all(file.parent().unwrap_or(&dir))?;
                    store(&file, tensors, dtype, &|name| self.original(part, name))?;
                    let own = self.config(part, "config.json")?;
                    let own = match *part {
                        "vae" | "text_encoder" => own,
                        _ => wan_model(&own),
                    };
                    fs::write(dir.join(config), own.to_string())?;
                }
                fs::create_dir_all(dir.join("google/umt5-xxl"))?;
                fs::copy(tokenizer, dir.join("google/umt5-xxl/tokenizer.json"))?;
                ModelFolder::open(&dir)?
            }
            _ => {
                let mut files = PartFiles {
                    tokenizer: Some(tokenizer),
                    ..PartFiles::default()
                };
                for (part, tensors) in &self.parts {
                    let file = dir.join(format!("{part}_comfy.safetensors"));
                    let rename = |name: &str| match *part {
                        "text_encoder" => name.to_owned(),
                        "vae" => self.original(part, name),
                        _ => format!("model.diffusion_model.{}", self.original(part, name)),
                    };
                    store(&file, tensors, dtype, &rename)?;
                    let config = self.config(part, "config.json")?;
                    fs::write(file.with_extension("json"), config.to_string())?;
                    *match *part {
                        "text_encoder" => &mut files.text_encoder,
                        "transformer" => &mut files.transformer,
                        "transformer_2" => &mut files.transformer_2,
                        _ => &mut files.vae,
                    } = Some(file);
                }
                ModelFolder::of_parts(&files)?
            }
        })
    }

    /// The name of a tensor in Wan's own release.
    pub fn original(&self, part: &str, name: &str) -> String {
        let replace = |name: &str, pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .fold(name.to_owned(), |name, (new, old)| name.replace(new, old))
        };
        match part {
            "text_encoder" => replace(
                name,
                &[
                    ("shared.", "token_embedding."),
                    ("encoder.embed_tokens.", "token_embedding."),
                    ("encoder.final_layer_norm", "norm"),
                    ("encoder.block.", "blocks."),
                    (
                        "layer.0.SelfAttention.relative_attention_bias",
                        "pos_embedding.embedding",
                    ),
                    ("layer.0.SelfAttention", "attn"),
                    ("layer.0.layer_norm", "norm1"),
                    ("layer.1.layer_norm", "norm2"),
                    ("layer.1.DenseReluDense.wi_0", "ffn.gate.0"),
                    ("layer.1.DenseReluDense.wi_1", "ffn.fc1"),
                    ("layer.1.DenseReluDense.wo", "ffn.fc2"),
                ],
            ),
            "vae" => self.original_vae(name),
            _ if name == "scale_shift_table" => "head.modulation".to_owned(),
            _ => replace(
                name,
                &[
                    (
                        "condition_embedder.text_embedder.linear_1",
                        "text_embedding.0",
                    ),
                    (
                        "condition_embedder.text_embedder.linear_2",
                        "text_embedding.2",
                    ),
                    (
                        "condition_embedder.time_embedder.linear_1",
                        "time_embedding.0",
                    ),
                    (
                        "condition_embedder.time_embedder.linear_2",
                        "time_embedding.2",
                    ),
                    ("condition_embedder.time_proj", "time_projection.1"),
                    ("proj_out", "head.head"),
                    ("attn1", "self_attn"),
                    ("attn2", "cross_attn"),
                    (".to_out.0.", ".o."),
                    (".to_q.", ".q."),
                    (".to_k.", ".k."),
                    (".to_v.", ".v."),
                    ("norm2", "norm3"),
                    ("ffn.net.0.proj", "ffn.0"),
                    ("ffn.net.2", "ffn.2"),
                    ("scale_shift_table", "modulation"),
                ],
            ),
        }
    }

    fn original_vae(&self, name: &str) -> String {
        let nested = self.parts.get("vae").is_some_and(|tensors| {
            tensors
                .iter()
                .any(|(name, ..)| name.contains(".upsampler."))
        });
        let has = |module: String| {
            let tensors = self.parts.get("vae");
            tensors
                .is_some_and(|tensors| tensors.iter().any(|(name, ..)| name.starts_with(&module)))
        };
        let parts: Vec<&str> = name.split('.').collect();
        let (module, rest) = match parts.as_slice() {
            ["quant_conv", rest @ ..] => ("conv1".to_owned(), rest),
            ["post_quant_conv", rest @ ..] => ("conv2".to_owned(), rest),
            [half, "conv_in", rest @ ..] => (format!("{half}.conv1"), rest),
            [half, "norm_out", rest @ ..] => (format!("{half}.head.0"), rest),
            [half, "conv_out", rest @ ..] => (format!("{half}.head.2"), rest),
            [half, "mid_block", "attentions", _, rest @ ..] => (format!("{half}.middle.1"), rest),
            [half, "mid_block", "resnets", "0", rest @ ..] => (format!("{half}.middle.0"), rest),
            [half, "mid_block", "resnets", _, rest @ ..] => (format!("{half}.middle.2"), rest),
            [half, blocks, level, list, rest @ ..] if nested => {
                let (word, end) = match *blocks {
                    "up_blocks" => ("upsamples", "up_blocks"),
                    _ => ("downsamples", "down_blocks"),
                };
                let resnets = (0..9)
                    .take_while(|n| has(format!("{half}.{end}.{level}.resnets.{n}.")))
                    .count();
                let (place, rest) = match (*list, rest) {
                    ("resnets", [place, rest @ ..]) => ((*place).to_owned(), rest),
                    (_, rest) => (resnets.to_string(), rest),
                };
                (format!("{half}.{word}.{level}.{word}.{place}"), rest)
            }
            ["encoder", "down_blocks", place, rest @ ..] => {
                (format!("encoder.downsamples.{place}"), rest)
            }
            ["decoder", "up_blocks", level, list, place, rest @ ..] => {
                let resnets = (0..9)
                    .take_while(|n| has(format!("decoder.up_blocks.0.resnets.{n}.")))
                    .count();
                let level: usize = level.parse().unwrap_or_default();
                let place: usize = place.parse().unwrap_or_default();
                let place = if *list == "resnets" { place } else { resnets };
                (
                    format!("decoder.upsamples.{}", level * (resnets + 1) + place),
                    rest,
                )
            }
            _ => (String::new(), parts.as_slice()),
        };
        let rest = rest.join(".");
        let residual = !module.contains("middle.1") && module.contains('.');
        let rest = [
            ("norm1.", "residual.0."),
            ("conv1.", "residual.2."),
            ("norm2.", "residual.3."),
            ("conv2.", "residual.6."),
            ("conv_shortcut.", "shortcut."),
        ]
        .into_iter()
        .filter(|_| residual)
        .find_map(|(new, old)| Some(format!("{old}{}", rest.strip_prefix(new)?)))
        .unwrap_or(rest);
        format!("{module}.{rest}")
    }
}

/// A transformer's configuration as Wan's own release writes it.
fn wan_model(config: &Value) -> Value {
    let number = |field: &str| config[field].as_u64().unwrap_or_default();
    let heads = number("num_attention_heads");
    json!({
        "_class_name": "WanModel",
        "model_type": "t2v",
        "dim": heads * number("attention_head_dim"),
        "eps": config["eps"],
        "ffn_dim": config["ffn_dim"],
        "freq_dim": config["freq_dim"],
        "in_dim": config["in_channels"],
        "num_heads": heads,
        "num_layers": config["num_layers"],
        "out_dim": config["out_channels"],
        "text_len": 512,
    })
}

/// Writes a safetensors file of the tensors under other names, in that type.
pub fn store(
    path: &Path,
    tensors: &Tensors,
    dtype: Dtype,
    rename: &dyn Fn(&str) -> String,
) -> Result<(), Failed> {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, _, values)| {
            let bytes = values.iter().flat_map(|&value| match dtype {
                Dtype::F16 => f16::from_f32(value).to_le_bytes().to_vec(),
                Dtype::BF16 => bf16::from_f32(value).to_le_bytes().to_vec(),
                _ => value.to_le_bytes().to_vec(),
            });
            bytes.collect()
        })
        .collect();
    let mut views = BTreeMap::new();
    for ((name, shape, _), bytes) in tensors.iter().zip(&bytes) {
        // Both names of a tied embedding become one.
        views.insert(rename(name), TensorView::new(dtype, shape.clone(), bytes)?);
    }
    safetensors::serialize_to_file(views, None, path)?;
    Ok(())
}
