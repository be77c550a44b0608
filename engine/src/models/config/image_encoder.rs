//! `image_encoder/config.json`: the picture half of CLIP.

use super::fields::Fields;
use crate::error::ConfigError;

/// What follows the first layer of a feed-forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClipActivation {
    /// `x sigmoid(1.702 x)`, OpenAI's.
    QuickGelu,
    /// The GELU without an approximation, open-clip's.
    Gelu,
}

/// `CLIPVisionModel` of transformers (`CLIPVisionConfig`).
///
/// Wan 2.1's image-to-video models use open-clip's ViT-H/14: `hidden_size` 1280, 32 layers of 16
/// heads, `intermediate_size` 5120, pictures of 224 pixels a side in patches of 14.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageEncoderConfig {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the feed-forward.
    pub intermediate_size: usize,
    /// Number of blocks; the last one is never computed.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Pixels along a side of a picture.
    pub image_size: usize,
    /// Pixels along a side of a patch.
    pub patch_size: usize,
    /// What follows the first layer of a feed-forward.
    pub hidden_act: ClipActivation,
    /// Added to the variance in the layer norms.
    pub layer_norm_eps: f64,
}

impl ImageEncoderConfig {
    /// Reads the JSON in `text`; `file` is its name for messages.
    ///
    /// # Errors
    /// A [`ConfigError`] that names the field: another model than CLIP's, another activation, or a
    /// number that no model can have.
    pub fn parse(file: &str, text: &[u8]) -> Result<Self, ConfigError> {
        let fields = Fields::parse(file, text)?;
        fields.class("model_type", &["clip_vision_model"])?;
        let activation = match fields.text("hidden_act")?.unwrap_or("quick_gelu") {
            "quick_gelu" => ClipActivation::QuickGelu,
            "gelu" => ClipActivation::Gelu,
            _ => return Err(fields.wrong("hidden_act", "\"gelu\" or \"quick_gelu\"")),
        };
        let config = Self {
            hidden_size: fields.count("hidden_size", Some(768), 1..=65_536)?,
            intermediate_size: fields.count("intermediate_size", Some(3072), 1..=262_144)?,
            num_hidden_layers: fields.count("num_hidden_layers", Some(12), 2..=1024)?,
            num_attention_heads: fields.count("num_attention_heads", Some(12), 1..=1024)?,
            image_size: fields.count("image_size", Some(224), 1..=4096)?,
            patch_size: fields.count("patch_size", Some(32), 1..=1024)?,
            hidden_act: activation,
            layer_norm_eps: fields.real("layer_norm_eps", 1e-5, 0.0..=1.0)?,
        };
        if !config
            .hidden_size
            .is_multiple_of(config.num_attention_heads)
        {
            let expected = format!("a divisor of hidden_size, {}", config.hidden_size);
            return Err(fields.wrong("num_attention_heads", &expected));
        }
        if config.patch_size > config.image_size {
            let expected = format!("at most image_size, {}", config.image_size);
            return Err(fields.wrong("patch_size", &expected));
        }
        if fields.count("num_channels", Some(3), 1..=4096)? != 3 {
            return Err(fields.wrong("num_channels", "3, red, green and blue"));
        }
        Ok(config)
    }

    /// Patches along a side; pixels beyond the last whole one are left out.
    #[must_use]
    pub fn patches(&self) -> usize {
        self.image_size / self.patch_size
    }

    /// Rows that a picture becomes: the class token, then its patches.
    #[must_use]
    pub fn tokens(&self) -> usize {
        1 + self.patches().pow(2)
    }
}
