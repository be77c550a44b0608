//! The released models, recognised by their configurations, and what their authors run them with.

use serde_json::{Value, json};

use super::{Card, Defaults, Given, PipelineConfig, StartsFrom, pipeline};
use crate::error::ConfigError;
use crate::models::config::vae::{WAN22_MEAN, WAN22_STD};
use crate::models::config::{MASK_CHANNELS, TextEncoderConfig, TransformerConfig, VaeConfig};

/// The negative prompt of the release (`sample_neg_prompt` in Wan's own configuration).
const NEGATIVE_PROMPT: &str = "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量，JPEG压缩残留，丑陋的，残缺的，多余的手指，画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，静止不动的画面，杂乱的背景，三条腿，背景人很多，倒着走";

/// What image-to-video models of the release have in front of it.
const SHAKING: &str = "镜头晃动，";

/// The distinguishing properties of a released model, and its defaults. All of them use UMT5-XXL.
#[derive(Debug)]
pub(super) struct Released {
    name: &'static str,
    pub(super) short: &'static str,
    /// Width inside the feed-forward.
    ffn: usize,
    heads: usize,
    layers: usize,
    latent_channels: usize,
    sees: Sees,
    experts: usize,
    expand_timesteps: bool,
    size: [usize; 2],
    frames: usize,
    fps: f64,
    steps: usize,
    shift: f64,
    guidance: f64,
    guidance_2: Option<f64>,
}

/// The inputs of the transformer in addition to the noisy latents and the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sees {
    /// Nothing.
    Nothing,
    /// The mask and the latents of known frames.
    Frames,
    /// Those, and the image tokens of one picture.
    Image,
    /// Those, and the image tokens of two pictures.
    TwoImages,
}

impl Sees {
    fn of(transformer: &TransformerConfig) -> Self {
        match (transformer.image_dim, transformer.pos_embed_seq_len) {
            _ if !transformer.sees_condition() => Self::Nothing,
            (None, _) => Self::Frames,
            (Some(_), None) => Self::Image,
            (Some(_), Some(_)) => Self::TwoImages,
        }
    }
}

const RELEASED: [Released; 8] = [
    Released {
        name: "Wan2.1-T2V-1.3B",
        short: "wan2.1-1.3b",
        ffn: 8960,
        heads: 12,
        layers: 30,
        latent_channels: 16,
        sees: Sees::Nothing,
        experts: 1,
        expand_timesteps: false,
        size: [832, 480],
        frames: 81,
        fps: 16.0,
        steps: 50,
        shift: 5.0,
        guidance: 5.0,
        guidance_2: None,
    },
    Released {
        name: "Wan2.1-T2V-14B",
        short: "wan2.1-14b",
        ffn: 13_824,
        heads: 40,
        layers: 40,
        latent_channels: 16,
        sees: Sees::Nothing,
        experts: 1,
        expand_timesteps: false,
        size: [832, 480],
        frames: 81,
        fps: 16.0,
        steps: 50,
        shift: 5.0,
        guidance: 5.0,
        guidance_2: None,
    },
    Released {
        name: "Wan2.2-T2V-A14B",
        short: "wan2.2-a14b",
        ffn: 13_824,
        heads: 40,
        layers: 40,
        latent_channels: 16,
        sees: Sees::Nothing,
        experts: 2,
        expand_timesteps: false,
        size: [832, 480],
        frames: 81,
        fps: 16.0,
        steps: 40,
        shift: 12.0,
        guidance: 4.0,
        guidance_2: Some(3.0),
    },
    Released {
        name: "Wan2.2-TI2V-5B",
        short: "wan2.2-5b",
        ffn: 14_336,
        heads: 24,
        layers: 30,
        latent_channels: 48,
        sees: Sees::Nothing,
        experts: 1,
        expand_timesteps: true,
        size: [1280, 704],
        frames: 121,
        fps: 24.0,
        steps: 50,
        shift: 5.0,
        guidance: 5.0,
        guidance_2: None,
    },
    Released {
        name: "Wan2.1-I2V-14B-720P",
        short: "wan2.1-i2v-14b-720p",
        ffn: 13_824,
        heads: 40,
        layers: 40,
        latent_channels: 16,
        sees: Sees::Image,
        experts: 1,
        expand_timesteps: false,
        size: [1280, 720],
        frames: 81,
        fps: 16.0,
        steps: 40,
        shift: 5.0,
        guidance: 5.0,
        guidance_2: None,
    },
    Released {
        name: "Wan2.1-I2V-14B-480P",
        short: "wan2.1-i2v-14b",
        ffn: 13_824,
        heads: 40,
        layers: 40,
        latent_channels: 16,
        sees: Sees::Image,
        experts: 1,
        expand_timesteps: false,
        size: [832, 480],
        frames: 81,
        fps: 16.0,
        steps: 40,
        shift: 3.0,
        guidance: 5.0,
        guidance_2: None,
    },
    Released {
        name: "Wan2.1-FLF2V-14B-720P",
        short: "wan2.1-flf2v-14b",
        ffn: 13_824,
        heads: 40,
        layers: 40,
        latent_channels: 16,
        sees: Sees::TwoImages,
        experts: 1,
        expand_timesteps: false,
        size: [1280, 720],
        frames: 81,
        fps: 16.0,
        steps: 50,
        shift: 16.0,
        guidance: 5.5,
        guidance_2: None,
    },
    Released {
        name: "Wan2.2-I2V-A14B",
        short: "wan2.2-i2v-a14b",
        ffn: 13_824,
        heads: 40,
        layers: 40,
        latent_channels: 16,
        sees: Sees::Frames,
        experts: 2,
        expand_timesteps: false,
        size: [832, 480],
        frames: 81,
        fps: 16.0,
        steps: 40,
        shift: 5.0,
        guidance: 3.5,
        guidance_2: Some(3.5),
    },
];

/// The share of the timesteps from which on A14B's first expert serves, text to video.
pub(super) const BOUNDARY: f64 = 0.875;

/// The same for the A14B that starts from pictures.
pub(super) const IMAGE_BOUNDARY: f64 = 0.9;

/// The shift of most of the released models.
pub(super) const SHIFT: f64 = 5.0;

/// The `model_index.json` of a released model.
pub(super) fn model_index(two_experts: bool, expand_timesteps: bool, images: bool) -> Value {
    let transformer = ["diffusers", "WanTransformer3DModel"];
    let boundary = if images { IMAGE_BOUNDARY } else { BOUNDARY };
    json!({
        "_class_name": if images { pipeline::IMAGE } else { "WanPipeline" },
        "boundary_ratio": two_experts.then_some(boundary),
        "expand_timesteps": expand_timesteps,
        "scheduler": ["diffusers", "UniPCMultistepScheduler"],
        "text_encoder": ["transformers", "UMT5EncoderModel"],
        "transformer": transformer,
        "transformer_2": two_experts.then_some(transformer),
        "vae": ["diffusers", "AutoencoderKLWan"],
    })
}

/// The `scheduler_config.json` of a released model.
pub(super) fn scheduler(shift: f64) -> Value {
    json!({
        "_class_name": "UniPCMultistepScheduler",
        "flow_shift": shift,
        "prediction_type": "flow_prediction",
        "use_flow_sigmas": true,
    })
}

/// The owner of the released models on the hub.
const OWNER: &str = "wan-ai/";

/// Variants in the spelling of a released model's name, and the form they are reduced to.
const SPELLINGS: [(&str, &str); 15] = [
    ("_", "-"),
    (" ", "-"),
    ("wan-2", "wan2"),
    ("wan21", "wan2.1"),
    ("wan22", "wan2.2"),
    ("-diffusers", ""),
    ("-ti2v", ""),
    ("-t2v", ""),
    ("wan2.2-14b", "wan2.2-a14b"),
    ("wan2.2-a-14b", "wan2.2-a14b"),
    ("wan2.2-i2v-14b", "wan2.2-i2v-a14b"),
    ("flf2v-14b-720p", "flf2v-14b"),
    ("i2v-480p-14b", "i2v-14b"),
    ("i2v-720p-14b", "i2v-14b-720p"),
    ("i2v-14b-480p", "i2v-14b"),
];

/// The short name of the released model that `name` means: in any case, with the task
/// (`Wan2.2-TI2V-5B`), or as the hub has it (`Wan-AI/Wan2.2-TI2V-5B-Diffusers`, at a revision
/// or not). `None` for any other model, those of other tasks included.
#[must_use]
pub fn short_name(name: &str) -> Option<&'static str> {
    let lower = name.trim().to_lowercase();
    let lower = lower.split('@').next().unwrap_or_default();
    let bare = lower.strip_prefix(OWNER).unwrap_or(lower);
    let spelled = SPELLINGS
        .iter()
        .fold(bare.to_owned(), |name, (from, to)| name.replace(from, to));
    let found = RELEASED.iter().find(|model| model.short == spelled);
    found.map(|model| model.short)
}

/// The short names of the released models that can start from what a field of a request names:
/// `image`, `last_image` or `video`.
#[must_use]
pub fn that_start_from(field: &str) -> String {
    let able = |model: &&Released| {
        let starts = model.starts_from();
        let given = match field {
            "image" => starts.image,
            "last_image" => starts.last_image,
            _ => starts.video,
        };
        given != Given::Never
    };
    let names: Vec<&str> = RELEASED
        .iter()
        .filter(able)
        .map(|model| model.short)
        .collect();
    names.join(", ")
}

/// The model of that short name, or of another name for it.
pub(super) fn by_short_name(name: &str) -> Result<&'static Released, ConfigError> {
    let short = short_name(name);
    let found = RELEASED.iter().find(|model| Some(model.short) == short);
    found.ok_or_else(|| ConfigError::NoSuchModel {
        found: name.to_owned(),
        known: RELEASED
            .iter()
            .map(|model| model.short)
            .collect::<Vec<_>>()
            .join(", "),
    })
}

impl Released {
    /// A configuration file of its diffusers layout, as far as it differs from the classes' own
    /// defaults.
    pub(super) fn json(&self, path: &str) -> Option<Value> {
        let wan22 = self.expand_timesteps;
        Some(match path {
            "model_index.json" => model_index(
                self.experts == 2,
                self.expand_timesteps,
                self.sees != Sees::Nothing,
            ),
            "scheduler/scheduler_config.json" => scheduler(self.shift),
            "text_encoder/config.json" => json!({
                "model_type": "umt5",
                "d_ff": 10_240,
                "d_kv": 64,
                "d_model": 4096,
                "num_heads": 64,
                "num_layers": 24,
                "vocab_size": 256_384,
            }),
            "image_encoder/config.json" if self.sees_tokens() => json!({
                "model_type": "clip_vision_model",
                "hidden_act": "gelu",
                "hidden_size": 1280,
                "image_size": 224,
                "intermediate_size": 5120,
                "num_attention_heads": 16,
                "num_hidden_layers": 32,
                "patch_size": 14,
            }),
            "transformer/config.json" => self.transformer(),
            "transformer_2/config.json" if self.experts == 2 => self.transformer(),
            "vae/config.json" if wan22 => json!({
                "_class_name": "AutoencoderKLWan",
                "base_dim": 160,
                "decoder_base_dim": 256,
                "in_channels": 12,
                "is_residual": true,
                "latents_mean": WAN22_MEAN[..],
                "latents_std": WAN22_STD[..],
                "out_channels": 12,
                "patch_size": 2,
                "scale_factor_spatial": 16,
                "z_dim": self.latent_channels,
            }),
            "vae/config.json" => json!({ "_class_name": "AutoencoderKLWan" }),
            _ => return None,
        })
    }

    /// The inputs it can start from.
    fn starts_from(&self) -> StartsFrom {
        StartsFrom::new(
            self.sees != Sees::Nothing,
            self.sees_tokens(),
            self.sees == Sees::TwoImages,
            self.expand_timesteps,
        )
    }

    /// Whether it has an image encoder.
    fn sees_tokens(&self) -> bool {
        matches!(self.sees, Sees::Image | Sees::TwoImages)
    }

    fn transformer(&self) -> Value {
        let condition = match self.sees {
            Sees::Nothing => 0,
            _ => self.latent_channels + MASK_CHANNELS,
        };
        json!({
            "_class_name": "WanTransformer3DModel",
            "added_kv_proj_dim": self.sees_tokens().then_some(self.heads * 128),
            "ffn_dim": self.ffn,
            "image_dim": self.sees_tokens().then_some(1280),
            "pos_embed_seq_len": (self.sees == Sees::TwoImages).then_some(514),
            "in_channels": self.latent_channels + condition,
            "num_attention_heads": self.heads,
            "num_layers": self.layers,
            "out_channels": self.latent_channels,
        })
    }
}

/// The defaults of the released model that these configurations are of, if it is one.
pub(super) fn recognise(
    pipeline: &PipelineConfig,
    text_encoder: &TextEncoderConfig,
    transformer: &TransformerConfig,
    vae: &VaeConfig,
    named: &str,
) -> Option<Defaults> {
    let matches = |model: &&Released| {
        text_encoder.d_model == 4096
            && text_encoder.num_layers == 24
            && transformer.attention_head_dim == 128
            && transformer.num_attention_heads == model.heads
            && transformer.num_layers == model.layers
            && vae.z_dim == model.latent_channels
            && pipeline.has_transformer_2 == (model.experts == 2)
            && pipeline.expand_timesteps == model.expand_timesteps
            && Sees::of(transformer) == model.sees
    };
    // I2V-14B was released twice, for two sizes, with the same configuration.
    let by_name = |model: &&Released| {
        let small = model.sees == Sees::Image && model.size[1] == 480;
        !(small && named.to_lowercase().contains("720"))
    };
    let mut alike: Vec<&Released> = RELEASED.iter().filter(matches).filter(by_name).collect();
    let model = alike.pop()?;
    let [width, height] = model.size;
    Some(Defaults {
        name: model.name.to_owned(),
        width,
        height,
        frames: model.frames,
        fps: model.fps,
        steps: model.steps,
        guidance: model.guidance,
        guidance_2: model.guidance_2,
        guidance_stop: None,
        shift: Some(model.shift),
        scheduler: None,
        timesteps: None,
        negative_prompt: match model.sees {
            Sees::Nothing => NEGATIVE_PROMPT.to_owned(),
            _ => format!("{SHAKING}{NEGATIVE_PROMPT}"),
        },
        card: Card::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::short_name;

    #[test]
    fn names_that_people_type_mean_the_released_models() {
        for (name, short) in [
            ("wan2.2-5b", "wan2.2-5b"),
            ("WAN2.2-5B", "wan2.2-5b"),
            ("wan2.2-ti2v-5b", "wan2.2-5b"),
            ("Wan-AI/Wan2.2-TI2V-5B-Diffusers", "wan2.2-5b"),
            ("wan-ai/wan2.2-ti2v-5b@main", "wan2.2-5b"),
            ("wan22_5b", "wan2.2-5b"),
            ("Wan2.1-T2V-1.3B", "wan2.1-1.3b"),
            ("wan2.1_t2v_1.3B", "wan2.1-1.3b"),
            ("wan-2.1-1.3b", "wan2.1-1.3b"),
            ("Wan2.1 T2V 14B", "wan2.1-14b"),
            ("Wan2.2-T2V-A14B", "wan2.2-a14b"),
            ("wan2.2-14b", "wan2.2-a14b"),
            ("wan2.2_t2v_14B", "wan2.2-a14b"),
            ("Wan-AI/Wan2.1-I2V-14B-480P-Diffusers", "wan2.1-i2v-14b"),
            ("wan2.1_i2v_720p_14B", "wan2.1-i2v-14b-720p"),
            ("Wan2.1-FLF2V-14B-720P", "wan2.1-flf2v-14b"),
            ("wan2.2_i2v_14B", "wan2.2-i2v-a14b"),
        ] {
            assert_eq!(short_name(name), Some(short), "{name}");
        }
        for name in [
            "wan2.1-vace-14b",
            "wan2.1-a14b",
            "wan2.2-1.3b",
            "other/wan2.2-5b",
            "fastwan2.1-1.3b",
            "wan",
            "",
        ] {
            assert_eq!(short_name(name), None, "{name}");
        }
    }
}
