//! The decoder's two halves: what needs whole frames, and what can be cut into bands of lines.

mod encoder;
mod layers;

pub(super) use encoder::split_channels;
pub use encoder::{EncoderNetwork, encoder_halo};

use super::{Architecture, Crop, Features};
use crate::error::{Error, RecordError};
use crate::models::config::VaeConfig;
use crate::nn::Weights;
use crate::ops::frames::dup_up;
use crate::ops::latents::{Pixels, denormalise};
use crate::record::{Recorder, Tensor};
use layers::{attention_block, conv_1x1x1, conv_3x3x3, norm_silu, residual_block, upsample};

/// One pass of the decoder of `AutoencoderKLWan` being recorded.
#[derive(Debug)]
pub struct Network<'n, 'c> {
    weights: Weights<'c>,
    config: &'n VaeConfig,
    /// Whether the pass holds only the first latent frame of the video.
    first: bool,
    /// Results by the reference's names for its modules, each [T, H, W, C].
    layers: Vec<(String, Tensor)>,
}

impl<'n, 'c> Network<'n, 'c> {
    /// A pass over the first latent frame, or over any number of later ones. `weights` is the root
    /// of the autoencoder's checkpoint.
    pub fn new(weights: &Weights<'c>, config: &'n VaeConfig, first: bool) -> Self {
        Self {
            weights: weights.clone(),
            config,
            first,
            layers: Vec::new(),
        }
    }

    /// The outputs of the layers recorded so far: `conv_in`, `mid`, `up0`, …, `conv_out`.
    pub fn layers(&self) -> &[(String, Tensor)] {
        &self.layers
    }

    fn keep(&mut self, name: impl Into<String>, x: &Tensor) {
        self.layers.push((name.into(), *x));
    }

    fn levels(&self) -> usize {
        self.config.dim_mult.len()
    }

    /// Latents to the split.
    ///
    /// | tensor | shape | dtype |
    /// |---|---|---|
    /// | latents | [z, T, h, w], as the sampler has them | f32 |
    /// | statistics | [2, z]: deviations, means | f32 |
    ///
    /// # Errors
    /// Weights that are missing or of another shape, tensors larger than the device allows.
    pub fn head(
        &mut self,
        rec: &mut Recorder<'_>,
        latents: &Tensor,
        statistics: &Tensor,
    ) -> Result<Features, Error> {
        let [_, frames, ..] = latents.dims::<4>("decoder", "latents")?;
        if self.first && frames != 1 {
            let expected = "1 in the first pass".into();
            let (op, found) = ("decoder", latents.shape);
            return Err(RecordError::Shape {
                op,
                name: "latents",
                found,
                expected,
            }
            .into());
        }
        let decoder = self.weights.at("decoder");
        let dims = self.config.decoder_dims();
        let widest = dims.first().copied().unwrap_or(0);
        let x = denormalise(rec, latents, statistics, false)?;
        let x = conv_1x1x1(
            rec,
            &self.weights.at("post_quant_conv"),
            &x,
            self.config.z_dim,
        )?;
        let x = conv_3x3x3(rec, &decoder.at("conv_in"), &x, widest, None)?;
        self.keep("conv_in", &x);
        let mid = decoder.at("mid_block");
        let x = residual_block(rec, &mid.at("resnets.0"), &x, widest)?;
        let x = attention_block(rec, &mid.at("attentions.0"), &x)?;
        let x = residual_block(rec, &mid.at("resnets.1"), &x, widest)?;
        self.keep("mid", &x);
        let shortcut = (self.config.is_residual && self.levels() > 1).then_some(x);
        let x = self.residual_blocks(rec, 0, &x)?;
        if self.levels() == 1 {
            self.keep("up0", &x);
        }
        Ok(Features { x, shortcut })
    }

    /// Records the second half, from the split point to the last convolution's pixels
    /// [T', H, W, 3 P²]. T' is 1 in the first pass and the temporal scale times T later; H and W count
    /// patches of P pixels.
    ///
    /// With `crop`, the features and the input of every level cover only the lines of a band.
    ///
    /// # Errors
    /// As [`Network::head`].
    pub fn tail(
        &mut self,
        rec: &mut Recorder<'_>,
        features: &Features,
        crop: Option<&Crop>,
    ) -> Result<Tensor, Error> {
        let mut x = features.x;
        let mut shortcut = features.shortcut;
        for level in 0..self.levels() {
            if level > 0 {
                shortcut = self.config.is_residual.then_some(x);
                x = self.residual_blocks(rec, level, &x)?;
            }
            if let Some(crop) = crop.filter(|_| level > 0) {
                x = crop.apply(rec, level, &x)?;
                shortcut = match &shortcut {
                    Some(shortcut) => Some(crop.apply(rec, level, shortcut)?),
                    None => None,
                };
            }
            if level + 1 < self.levels() {
                x = self.leave_level(rec, level, &x, shortcut.as_ref())?;
            }
            if level > 0 || self.levels() > 1 {
                self.keep(format!("up{level}"), &x);
            }
        }
        let decoder = self.weights.at("decoder");
        let x = norm_silu(rec, &decoder.at("norm_out"), &x)?;
        let x = conv_3x3x3(
            rec,
            &decoder.at("conv_out"),
            &x,
            self.config.out_channels,
            None,
        )?;
        self.keep("conv_out", &x);
        Ok(x)
    }

    fn level(&self, level: usize) -> Weights<'c> {
        self.weights
            .at("decoder")
            .at("up_blocks")
            .at(&level.to_string())
    }

    fn residual_blocks(
        &self,
        rec: &mut Recorder<'_>,
        level: usize,
        x: &Tensor,
    ) -> Result<Tensor, Error> {
        let features = self
            .config
            .decoder_dims()
            .get(level + 1)
            .copied()
            .unwrap_or(0);
        let blocks = self.level(level).at("resnets");
        let mut x = *x;
        for block in 0..=self.config.num_res_blocks {
            x = residual_block(rec, &blocks.at(&block.to_string()), &x, features)?;
        }
        Ok(x)
    }

    /// The upsampling at the end of a level, with the shortcut around the level.
    fn leave_level(
        &self,
        rec: &mut Recorder<'_>,
        level: usize,
        x: &Tensor,
        shortcut: Option<&Tensor>,
    ) -> Result<Tensor, Error> {
        let channels = x.shape.last_dim();
        let temporal = self
            .config
            .temporal_upsample()
            .get(level)
            .copied()
            .unwrap_or(false);
        let weights = self.level(level);
        // Wan 2.1 halves the channels while upsampling, Wan 2.2 leaves that to the next level.
        let (weights, features) = if self.config.is_residual {
            (weights.at("upsampler"), channels)
        } else {
            (weights.at("upsamplers.0"), channels / 2)
        };
        let y = upsample(rec, &weights, x, features, temporal, self.first)?;
        if let Some(shortcut) = shortcut {
            dup_up(rec, shortcut, &y, if temporal { 2 } else { 1 }, self.first)?;
        }
        Ok(y)
    }
}

impl Architecture for VaeConfig {
    fn channels(&self) -> usize {
        self.z_dim
    }

    fn scale(&self) -> [usize; 2] {
        [self.scale_factor_temporal, self.scale_factor_spatial]
    }

    fn statistics(&self) -> Vec<f32> {
        let both = self.latents_std.iter().chain(&self.latents_mean);
        both.map(|&v| v as f32).collect()
    }

    fn unread(&self) -> &'static [&'static str] {
        &["encoder.", "quant_conv."]
    }

    fn halos(&self) -> Vec<usize> {
        halos(self)
    }

    fn pixels(&self) -> Pixels {
        Pixels {
            patch_size: self.patch_size,
            by_lines: false,
            range: [-1.0, 1.0],
        }
    }

    fn head(
        &self,
        rec: &mut Recorder<'_>,
        weights: &Weights<'_>,
        latents: &Tensor,
        statistics: &Tensor,
        first: bool,
    ) -> Result<Features, Error> {
        Network::new(weights, self, first).head(rec, latents, statistics)
    }

    fn tail(
        &self,
        rec: &mut Recorder<'_>,
        weights: &Weights<'_>,
        features: &Features,
        crop: Option<&Crop>,
        first: bool,
    ) -> Result<Tensor, Error> {
        Network::new(weights, self, first).tail(rec, features, crop)
    }
}

/// Lines beyond a band, on either side, that its pixels depend on, at the end of each level that
/// upsamples, in that level's lines: one for each convolution over three lines that follows, halved
/// at each upsampling.
pub fn halos(config: &VaeConfig) -> Vec<usize> {
    let convolutions_a_level = 2 * (config.num_res_blocks + 1);
    let last_convolution = 1;
    let mut beyond = convolutions_a_level + last_convolution;
    let mut halos = Vec::new();
    for _ in 1..config.dim_mult.len() {
        let upsampling = 1;
        let halo = (beyond + upsampling).div_ceil(2);
        halos.insert(0, halo);
        beyond = halo + convolutions_a_level;
    }
    halos
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_halos_follow_the_levels() {
        let config = |text: &str| VaeConfig::parse("config.json", text.as_bytes()).unwrap();
        // (6 + 1 + 1) / 2 = 4, (4 + 6 + 1) / 2 = 5.5, (6 + 6 + 1) / 2 = 6.5
        let wan21 = config(r#"{"_class_name": "AutoencoderKLWan"}"#);
        assert_eq!(halos(&wan21), [7, 6, 4]);
        let one_level = config(
            r#"{"_class_name": "AutoencoderKLWan", "dim_mult": [2], "temperal_downsample": [],
                "scale_factor_spatial": 1, "scale_factor_temporal": 1}"#,
        );
        assert!(halos(&one_level).is_empty());
    }
}
