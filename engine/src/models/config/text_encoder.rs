//! `text_encoder/config.json`: the encoder half of UMT5.

use super::fields::Fields;
use crate::error::ConfigError;

/// `UMT5EncoderModel` of transformers (`UMT5Config`).
///
/// Released models use UMT5-XXL: `d_model` 4096, `d_kv` 64, 64 heads, `d_ff` 10240, 24 layers,
/// 256,384 rows of embedding.
#[derive(Clone, Debug, PartialEq)]
pub struct TextEncoderConfig {
    /// Rows of the token embedding. May exceed the tokenizer's entries.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Width of one head. `heads · d_kv` need not be `d_model`.
    pub d_kv: usize,
    /// Width inside the gated feed-forward.
    pub d_ff: usize,
    /// Encoder blocks.
    pub num_layers: usize,
    /// Attention heads.
    pub num_heads: usize,
    /// Buckets of relative position; each direction has half of them.
    pub relative_attention_num_buckets: usize,
    /// The distance, in tokens, from which all share the last bucket.
    pub relative_attention_max_distance: usize,
    /// Added to the mean square in the RMS norms.
    pub layer_norm_epsilon: f64,
}

impl TextEncoderConfig {
    /// Reads the JSON in `text`; `file` is its name for messages.
    ///
    /// # Errors
    /// A [`ConfigError`] that names the field: another model than UMT5, an activation other than
    /// the gated tanh GELU, or a number that no model can have.
    pub fn parse(file: &str, text: &[u8]) -> Result<Self, ConfigError> {
        let fields = Fields::parse(file, text)?;
        fields.class("model_type", &["umt5"])?;
        let activation = fields.text("feed_forward_proj")?.unwrap_or("gated-gelu");
        // transformers reads `gated-gelu` as the tanh approximation and ignores dense_act_fn.
        if !matches!(activation, "gated-gelu" | "gated-gelu_new") {
            return Err(fields.wrong("feed_forward_proj", "\"gated-gelu\""));
        }
        let config = Self {
            vocab_size: fields.count("vocab_size", Some(250_112), 1..=4_194_304)?,
            d_model: fields.count("d_model", Some(512), 1..=65_536)?,
            d_kv: fields.count("d_kv", Some(64), 1..=1024)?,
            d_ff: fields.count("d_ff", Some(1024), 1..=262_144)?,
            num_layers: fields.count("num_layers", Some(8), 1..=1024)?,
            num_heads: fields.count("num_heads", Some(6), 1..=1024)?,
            relative_attention_num_buckets: fields.count(
                "relative_attention_num_buckets",
                Some(32),
                4..=1024,
            )?,
            relative_attention_max_distance: fields.count(
                "relative_attention_max_distance",
                Some(128),
                2..=1_048_576,
            )?,
            layer_norm_epsilon: fields.real("layer_norm_epsilon", 1e-6, 0.0..=1.0)?,
        };
        let buckets = config.relative_attention_num_buckets;
        if !buckets.is_multiple_of(4) {
            // Half for each direction, and half of those for exact distances.
            return Err(fields.wrong("relative_attention_num_buckets", "a multiple of 4"));
        }
        if config.relative_attention_max_distance <= buckets / 4 {
            let expected = format!("more than a quarter of the {buckets} buckets");
            return Err(fields.wrong("relative_attention_max_distance", &expected));
        }
        Ok(config)
    }

    /// Width of all heads together.
    #[must_use]
    pub fn inner_dim(&self) -> usize {
        self.num_heads * self.d_kv
    }
}
