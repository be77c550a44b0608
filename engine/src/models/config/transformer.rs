//! `transformer/config.json`: Wan's denoising transformer.

use super::fields::Fields;
use crate::error::ConfigError;

/// `WanTransformer3DModel` of diffusers.
#[derive(Clone, Debug, PartialEq)]
pub struct TransformerConfig {
    /// Latent frames, rows and columns of one token: [1, 2, 2] in every released model.
    pub patch_size: [usize; 3],
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Width of one head; even, since rotary embedding turns pairs.
    pub attention_head_dim: usize,
    /// Latent channels in.
    pub in_channels: usize,
    /// Latent channels out.
    pub out_channels: usize,
    /// Width of the text encoder's output.
    pub text_dim: usize,
    /// Width of the sinusoidal embedding of the timestep; even.
    pub freq_dim: usize,
    /// Width inside the feed-forward.
    pub ffn_dim: usize,
    /// Blocks.
    pub num_layers: usize,
    /// Whether a layer norm with weights precedes cross-attention.
    pub cross_attn_norm: bool,
    /// Added to the variance in the norms.
    pub eps: f64,
    /// Width of the image encoder's states (Wan 2.1 I2V and FLF2V, 1280); `None` where the model sees
    /// no image tokens.
    pub image_dim: Option<usize>,
    /// Image tokens that have learned positions (FLF2V, 514: two pictures); `None` where they have
    /// none.
    pub pos_embed_seq_len: Option<usize>,
    /// The most tokens along time, height or width that rotary embedding is defined for.
    pub rope_max_seq_len: usize,
}

/// Channels of the mask of known frames: one for each frame of a latent frame.
pub const MASK_CHANNELS: usize = 4;

/// A count that may be null.
fn optional(fields: &Fields<'_>, field: &str, most: usize) -> Result<Option<usize>, ConfigError> {
    match fields.given(field) {
        None => Ok(None),
        Some(_) => fields.count(field, None, 1..=most).map(Some),
    }
}

impl TransformerConfig {
    /// Reads the JSON in `text`; `file` is its name for messages.
    ///
    /// # Errors
    /// A [`ConfigError`] that names the field: another class, channels in that are neither as many as
    /// out nor those of an image-to-video model, or a number that no model can have.
    pub fn parse(file: &str, text: &[u8]) -> Result<Self, ConfigError> {
        let fields = Fields::parse(file, text)?;
        fields.class("_class_name", &["WanTransformer3DModel"])?;
        // The reference normalises q and k across heads for any value; an unknown name may mean a newer
        // reference that does not.
        if !matches!(
            fields.text("qk_norm")?,
            None | Some("rms_norm_across_heads")
        ) {
            return Err(fields.wrong("qk_norm", "\"rms_norm_across_heads\""));
        }
        let patch_size = fields.counts("patch_size", &[1, 2, 2], 1..=16)?;
        let Ok(patch_size @ [1, _, _]) = <[usize; 3]>::try_from(patch_size) else {
            return Err(fields.wrong("patch_size", "three whole numbers, the first of them 1"));
        };
        let in_channels = fields.count("in_channels", Some(16), 1..=4096)?;
        let out_channels = match fields.given("out_channels") {
            // The reference's `out_channels or in_channels`.
            None if fields.get("out_channels").is_some() => in_channels,
            _ => fields.count("out_channels", Some(16), 1..=4096)?,
        };
        let config = Self {
            patch_size,
            num_attention_heads: fields.count("num_attention_heads", Some(40), 1..=1024)?,
            attention_head_dim: fields.count("attention_head_dim", Some(128), 2..=1024)?,
            in_channels,
            out_channels,
            text_dim: fields.count("text_dim", Some(4096), 1..=65_536)?,
            freq_dim: fields.count("freq_dim", Some(256), 2..=65_536)?,
            ffn_dim: fields.count("ffn_dim", Some(13_824), 1..=262_144)?,
            num_layers: fields.count("num_layers", Some(40), 1..=1024)?,
            cross_attn_norm: fields.flag("cross_attn_norm", true)?,
            eps: fields.real("eps", 1e-6, 0.0..=1.0)?,
            image_dim: optional(&fields, "image_dim", 65_536)?,
            pos_embed_seq_len: optional(&fields, "pos_embed_seq_len", 65_536)?,
            rope_max_seq_len: fields.count("rope_max_seq_len", Some(1024), 1..=1_048_576)?,
        };
        for (field, width) in [
            ("attention_head_dim", config.attention_head_dim),
            ("freq_dim", config.freq_dim),
        ] {
            if width % 2 != 0 {
                return Err(fields.wrong(field, "an even number"));
            }
        }
        let added = optional(&fields, "added_kv_proj_dim", 65_536)?;
        if added.is_some() != config.image_dim.is_some() {
            let expected = "given where image_dim is, and nowhere else";
            return Err(fields.wrong("added_kv_proj_dim", expected));
        }
        if let Some(added) = added.filter(|&added| added != config.dim()) {
            let expected = format!(
                "{}, the width of the image tokens, not {added}",
                config.dim()
            );
            return Err(fields.wrong("added_kv_proj_dim", &expected));
        }
        if config.pos_embed_seq_len.is_some() && config.image_dim.is_none() {
            return Err(fields.wrong("pos_embed_seq_len", "null, where image_dim is"));
        }
        // A denoiser predicts a velocity for each latent channel; image-to-video models also take the mask
        // and latents of the known frames. Control models have other channel counts.
        let with_image = 2 * out_channels + MASK_CHANNELS;
        if ![out_channels, with_image].contains(&config.in_channels) {
            let expected = format!(
                "{out_channels}, as many as out_channels, or {with_image}, those of an image-to-video model (other sums are for control models, which Kinora does not support yet)"
            );
            return Err(fields.wrong("in_channels", &expected));
        }
        Ok(config)
    }

    /// Whether the model takes the mask and the latents of the known frames with the noisy latents:
    /// [noisy, mask, condition] along the channels.
    #[must_use]
    pub fn sees_condition(&self) -> bool {
        self.in_channels != self.out_channels
    }

    /// Width of the residual stream: all heads together.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.num_attention_heads * self.attention_head_dim
    }

    /// Values of one token of the input: `in_channels` · the patch's volume.
    #[must_use]
    pub fn patch_in(&self) -> usize {
        self.in_channels * self.patch_size.iter().product::<usize>()
    }

    /// Values of one token of the output: `out_channels` · the patch's volume.
    #[must_use]
    pub fn patch_out(&self) -> usize {
        self.out_channels * self.patch_size.iter().product::<usize>()
    }

    /// How a head's channels divide over time, height and width for rotary embedding
    /// (`WanRotaryPosEmbed`): three even numbers whose sum is `attention_head_dim`.
    #[must_use]
    pub fn rope_dims(&self) -> [usize; 3] {
        let side = 2 * (self.attention_head_dim / 6);
        [self.attention_head_dim - 2 * side, side, side]
    }
}
