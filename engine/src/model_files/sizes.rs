//! Infers a part's configuration from its tensors' shapes, for files without one.
//!
//! Shapes do not give the size of a head, the norms' epsilon or the latents' statistics. Those come
//! from the first of these that is of the same class and agrees with the tensors: `config` in the
//! file's own metadata, `NAME.json` and `config.json` beside it, the model's folder. Otherwise the
//! values of the released models are used.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::error::ConfigError;
use crate::model_files::names::Kind;
use crate::models::config::vae::{WAN21_MEAN, WAN21_STD, WAN22_MEAN, WAN22_STD};
use crate::weights::Checkpoint;

type Fields = Map<String, Value>;

/// Longer `config.json` files beside a checkpoint are skipped: 1 MiB.
const BESIDE_LIMIT: u64 = 1 << 20;

/// The head of a released transformer.
const HEAD: usize = 128;

/// A part's numbers under the names of diffusers' configuration.
struct Sizes {
    /// Fields inferred from the tensors' shapes.
    told: Fields,
    /// Values of the released models, for fields that shapes do not determine.
    usual: Fields,
    /// Heads · their size, of a transformer.
    dim: Option<usize>,
}

/// The `config.json` of a part whose tensors have diffusers' names. `path` is where the checkpoint
/// was opened, `folder` the model's own configuration of that part, if there is one.
///
/// # Errors
/// [`ConfigError::Sizes`] for tensors that are missing or of another rank,
/// [`ConfigError::NotInTensors`] for a number that is nowhere.
pub(super) fn configuration(
    kind: Kind,
    checkpoint: &Checkpoint,
    path: &Path,
    folder: Option<&[u8]>,
) -> Result<Value, ConfigError> {
    let look = Look {
        checkpoint,
        file: path.display().to_string(),
    };
    let sizes = match kind {
        Kind::Transformer => look.transformer()?,
        Kind::TextEncoder => look.text_encoder()?,
        Kind::ImageEncoder => look.image_encoder()?,
        Kind::Vae => look.vae()?,
    };
    let beside = beside(checkpoint, path);
    let texts = beside.iter().map(Vec::as_slice).chain(folder);
    let said = texts
        .filter_map(|text| as_diffusers(kind, serde_json::from_slice(text).ok()?))
        .find(|said| sizes.agrees(said));
    let mut fields = sizes.usual;
    fields.extend(said.unwrap_or_default());
    fields.extend(sizes.told);
    look.complete(kind, &fields)?;
    Ok(Value::Object(fields))
}

impl Sizes {
    /// Whether a configuration can be of these tensors.
    fn agrees(&self, said: &Fields) -> bool {
        let same = |(field, told): (&String, &Value)| {
            said.get(field)
                .is_none_or(|value| value.is_null() || value == told)
        };
        let heads = ["num_attention_heads", "attention_head_dim"]
            .map(|field| said.get(field).and_then(Value::as_u64));
        let fits = match (self.dim, heads) {
            (Some(dim), [Some(heads), Some(size)]) => heads.checked_mul(size) == Some(dim as u64),
            _ => true,
        };
        fits && self.told.iter().all(same)
    }
}

/// The configurations that belong to a checkpoint, nearest first.
fn beside(checkpoint: &Checkpoint, path: &Path) -> Vec<Vec<u8>> {
    let own = checkpoint.metadata().remove("config");
    let files = if path.is_dir() {
        [Some(path.join("config.json")), None]
    } else {
        let folder = path.parent().map(|folder| folder.join("config.json"));
        [Some(path.with_extension("json")), folder]
    };
    let read = |file: std::path::PathBuf| {
        let small = fs::metadata(&file).ok()?.len() <= BESIDE_LIMIT;
        small.then(|| fs::read(&file).ok()).flatten()
    };
    let files = files.into_iter().flatten().filter_map(read);
    own.map(String::into_bytes)
        .into_iter()
        .chain(files)
        .collect()
}

/// A configuration of a part of that kind, in diffusers' fields; nothing for another's.
fn as_diffusers(kind: Kind, mut fields: Fields) -> Option<Fields> {
    let class =
        ["_class_name", "model_type"].map(|field| fields.get(field).and_then(Value::as_str));
    match (kind, class) {
        (Kind::Transformer, [Some("WanTransformer3DModel"), _])
        | (Kind::TextEncoder, [_, Some("umt5")])
        | (Kind::ImageEncoder, [_, Some("clip_vision_model")])
        | (Kind::Vae, [Some("AutoencoderKLWan"), _]) => Some(fields),
        (Kind::Transformer, [Some("WanModel"), _]) => {
            let dim = fields.get("dim").and_then(Value::as_u64)?;
            let heads = fields.get("num_heads").and_then(Value::as_u64)?;
            let size = dim.checked_div(heads)?;
            let mut renamed = Fields::new();
            renamed.insert("num_attention_heads".to_owned(), json!(heads));
            renamed.insert("attention_head_dim".to_owned(), json!(size));
            for (own, field) in [
                ("in_dim", "in_channels"),
                ("out_dim", "out_channels"),
                ("num_layers", "num_layers"),
                ("ffn_dim", "ffn_dim"),
                ("freq_dim", "freq_dim"),
                ("eps", "eps"),
                // t2v, i2v or flf2v: what the release calls the task.
                ("model_type", "model_type"),
            ] {
                if let Some(value) = fields.remove(own) {
                    renamed.insert(field.to_owned(), value);
                }
            }
            Some(renamed)
        }
        _ => None,
    }
}

/// A checkpoint whose shapes are read.
struct Look<'c> {
    checkpoint: &'c Checkpoint,
    file: String,
}

impl Look<'_> {
    /// The shape of `tensor`, which has `N` dimensions.
    fn dims<const N: usize>(
        &self,
        tensor: &str,
        expected: &'static str,
    ) -> Result<[usize; N], ConfigError> {
        let shape = self.checkpoint.shape_of(tensor);
        let dims = shape.and_then(|shape| <[usize; N]>::try_from(shape).ok());
        dims.ok_or_else(|| ConfigError::Sizes {
            file: self.file.clone(),
            tensor: tensor.to_owned(),
            found: shape.map_or_else(|| "absent".to_owned(), |shape| format!("{shape:?}")),
            expected,
        })
    }

    /// The number of consecutive tensors `tensor(0)`, `tensor(1)`, … that exist.
    fn count(&self, tensor: impl Fn(usize) -> String) -> usize {
        (0..)
            .take_while(|&index| self.checkpoint.contains(&tensor(index)))
            .count()
    }

    fn transformer(&self) -> Result<Sizes, ConfigError> {
        let [dim, channels, patch @ ..] = self.dims::<5>(
            "patch_embedding.weight",
            "[width, channels, 1, rows, columns]",
        )?;
        let [_, text] = self.dims(
            "condition_embedder.text_embedder.linear_1.weight",
            "[width, the text encoder's width]",
        )?;
        let [_, freq] = self.dims(
            "condition_embedder.time_embedder.linear_1.weight",
            "[width, the timestep's width]",
        )?;
        let [ffn, _] = self.dims("blocks.0.ffn.net.0.proj.weight", "[inner width, width]")?;
        let [out, _] = self.dims("proj_out.weight", "[channels of a patch, width]")?;
        // Of models that see images, and of two of them.
        let shape = |tensor: &str| self.checkpoint.shape_of(tensor);
        let image = shape("condition_embedder.image_embedder.norm1.weight");
        let added = shape("blocks.0.attn2.add_k_proj.weight");
        let positions = shape("condition_embedder.image_embedder.pos_embed");
        let area = patch.iter().product::<usize>().max(1);
        let heads = (dim % HEAD == 0).then_some(dim / HEAD);
        let usual = match heads {
            Some(heads) => json!({ "num_attention_heads": heads, "attention_head_dim": HEAD }),
            None => json!({}),
        };
        Ok(Sizes {
            told: object(json!({
                "_class_name": "WanTransformer3DModel",
                "patch_size": patch,
                "in_channels": channels,
                "out_channels": out / area,
                "text_dim": text,
                "freq_dim": freq,
                "ffn_dim": ffn,
                "num_layers": self.count(|block| format!("blocks.{block}.attn1.to_q.weight")),
                "cross_attn_norm": self.checkpoint.contains("blocks.0.norm2.weight"),
                "image_dim": image.and_then(<[usize]>::first),
                "added_kv_proj_dim": added.and_then(|shape| shape.get(1)),
                "pos_embed_seq_len": positions.and_then(|shape| shape.get(1)),
            })),
            usual: object(usual),
            dim: Some(dim),
        })
    }

    fn text_encoder(&self) -> Result<Sizes, ConfigError> {
        let attention = |layer| format!("encoder.block.{layer}.layer.0.SelfAttention");
        let bias = |layer| format!("{}.relative_attention_bias.weight", attention(layer));
        let layers = self.count(|layer| format!("{}.q.weight", attention(layer)));
        if layers > 1 && self.checkpoint.contains(&bias(0)) && !self.checkpoint.contains(&bias(1)) {
            return Err(ConfigError::Class {
                file: self.file.clone(),
                field: "the text encoder".to_owned(),
                found: "T5, whose first layer alone has relative positions".to_owned(),
                known: "UMT5, whose every layer has them".to_owned(),
            });
        }
        let table = ["shared.weight", "encoder.embed_tokens.weight"];
        let table = table
            .into_iter()
            .find(|table| self.checkpoint.contains(table))
            .unwrap_or(table[0]);
        let [vocabulary, width] = self.dims(table, "[tokens, width]")?;
        let [buckets, heads] = self.dims(&bias(0), "[buckets, heads]")?;
        let [inner, _] = self.dims(&format!("{}.q.weight", attention(0)), "[all heads, width]")?;
        let [ff, _] = self.dims(
            "encoder.block.0.layer.1.DenseReluDense.wi_0.weight",
            "[inner width, width]",
        )?;
        // llama.cpp's name for it, behind the architecture's.
        let metadata = self.checkpoint.metadata();
        let epsilon = metadata
            .iter()
            .find(|(key, _)| key.ends_with(".attention.layer_norm_rms_epsilon"))
            .and_then(|(_, value)| value.parse::<f64>().ok());
        let usual = epsilon.map_or_else(|| json!({}), |eps| json!({ "layer_norm_epsilon": eps }));
        Ok(Sizes {
            told: object(json!({
                "model_type": "umt5",
                "vocab_size": vocabulary,
                "d_model": width,
                "d_kv": inner / heads.max(1),
                "d_ff": ff,
                "num_layers": layers,
                "num_heads": heads,
                "relative_attention_num_buckets": buckets,
            })),
            usual: object(usual),
            dim: None,
        })
    }

    fn image_encoder(&self) -> Result<Sizes, ConfigError> {
        const ROOT: &str = "vision_model.embeddings";
        let [width, _, patch, _] = self.dims(
            &format!("{ROOT}.patch_embedding.weight"),
            "[width, 3, rows, columns]",
        )?;
        let [positions, _] = self.dims(
            &format!("{ROOT}.position_embedding.weight"),
            "[positions, width]",
        )?;
        let layer = |layer| format!("vision_model.encoder.layers.{layer}");
        let [inner, _] = self.dims(
            &format!("{}.mlp.fc1.weight", layer(0)),
            "[inner width, width]",
        )?;
        let side = positions.saturating_sub(1).isqrt();
        let layers = self.count(|at| format!("{}.mlp.fc1.weight", layer(at)));
        // open-clip's ViT-H/14, the one that Wan's models see with.
        let usual = match [width, inner, patch, positions, layers] {
            [1280, 5120, 14, 257, 32] => {
                json!({ "num_attention_heads": 16, "hidden_act": "gelu" })
            }
            _ => json!({}),
        };
        Ok(Sizes {
            told: object(json!({
                "model_type": "clip_vision_model",
                "hidden_size": width,
                "intermediate_size": inner,
                "num_hidden_layers": layers,
                "image_size": side * patch,
                "patch_size": patch,
            })),
            usual: object(usual),
            dim: None,
        })
    }

    fn vae(&self) -> Result<Sizes, ConfigError> {
        const CONVOLUTION: &str = "[channels out, channels in, 3, 3, 3]";
        let [_, latent, ..] = self.dims::<5>("decoder.conv_in.weight", CONVOLUTION)?;
        let [out, ..] = self.dims::<5>("decoder.conv_out.weight", CONVOLUTION)?;
        let level = |level: usize| format!("decoder.up_blocks.{level}");
        let levels = self.count(|at| format!("{}.resnets.0.conv1.weight", level(at)));
        let mut channels = Vec::new();
        for at in 0..levels {
            let tensor = format!("{}.resnets.0.conv1.weight", level(at));
            let [width, ..] = self.dims::<5>(&tensor, CONVOLUTION)?;
            channels.push(width);
        }
        let residual = self
            .checkpoint
            .contains(&format!("{}.upsampler.resample.1.weight", level(0)));
        let upsampler = if residual {
            "upsampler"
        } else {
            "upsamplers.0"
        };
        let doubles: Vec<bool> = (0..levels.saturating_sub(1))
            .map(|at| format!("{}.{upsampler}.time_conv.weight", level(at)))
            .map(|tensor| self.checkpoint.contains(&tensor))
            .collect();
        let base = channels
            .iter()
            .copied()
            .fold(0, greatest_common_divisor)
            .max(1);
        let blocks = self.count(|block| format!("{}.resnets.{block}.conv1.weight", level(0)));
        let encoder = self.checkpoint.shape_of("encoder.conv_in.weight");
        // 3 colours of a square of pixels.
        let patch = (out / 3).isqrt();
        let statistics = match latent {
            16 => json!({ "latents_mean": WAN21_MEAN[..], "latents_std": WAN21_STD[..] }),
            48 => json!({ "latents_mean": WAN22_MEAN[..], "latents_std": WAN22_STD[..] }),
            _ => json!({}),
        };
        let mut usual = object(statistics);
        if let Some(&width) = encoder.and_then(<[usize]>::first) {
            usual.insert("base_dim".to_owned(), json!(width));
        }
        Ok(Sizes {
            told: object(json!({
                "_class_name": "AutoencoderKLWan",
                "decoder_base_dim": base,
                "z_dim": latent,
                "dim_mult": channels.iter().rev().map(|width| width / base).collect::<Vec<_>>(),
                "num_res_blocks": blocks.saturating_sub(1),
                "temperal_downsample": doubles.iter().rev().collect::<Vec<_>>(),
                "is_residual": residual,
                "in_channels": out,
                "out_channels": out,
                "patch_size": patch,
                "scale_factor_spatial": patch.checked_shl(levels.saturating_sub(1) as u32),
                "scale_factor_temporal": 1_usize
                    .checked_shl(doubles.iter().filter(|&&doubles| doubles).count() as u32),
            })),
            usual,
            dim: None,
        })
    }

    /// Refuses a part if neither its shapes nor a configuration give a required number.
    fn complete(&self, kind: Kind, fields: &Fields) -> Result<(), ConfigError> {
        let (field, what) = match kind {
            Kind::Transformer => ("attention_head_dim", "the size of an attention head"),
            Kind::ImageEncoder => ("num_attention_heads", "the number of attention heads"),
            Kind::Vae => ("latents_mean", "the mean and deviation of its latents"),
            Kind::TextEncoder => return Ok(()),
        };
        if fields.contains_key(field) {
            return Ok(());
        }
        let file = Path::new(&self.file).with_extension("json");
        let beside = file.file_name().map(|name| name.to_string_lossy());
        Err(ConfigError::NotInTensors {
            file: self.file.clone(),
            what,
            beside: format!("config.json or {}", beside.unwrap_or_default()),
        })
    }
}

fn object(value: Value) -> Fields {
    match value {
        Value::Object(fields) => fields,
        _ => Fields::new(),
    }
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    match b {
        0 => a,
        _ => greatest_common_divisor(b, a % b),
    }
}
