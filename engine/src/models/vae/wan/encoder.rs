//! The encoder's two halves: what can be cut into bands of lines, and what needs whole frames.

use super::layers::{
    attention_block, conv_1x1x1, conv_3x3x3, downsample, norm_silu, residual_block,
};
use crate::error::{Error, RecordError};
use crate::models::config::VaeConfig;
use crate::nn::Weights;
use crate::ops::frames::avg_down;
use crate::record::{Recorder, Tensor};
use crate::tensor::DType;

/// One pass of the encoder of `AutoencoderKLWan` being recorded.
#[derive(Debug)]
pub struct EncoderNetwork<'n, 'c> {
    weights: Weights<'c>,
    config: &'n VaeConfig,
    /// Whether the pass holds only the first frame of the video.
    first: bool,
    /// Results by the reference's names for its modules, each [T, H, W, C].
    layers: Vec<(String, Tensor)>,
}

impl<'n, 'c> EncoderNetwork<'n, 'c> {
    /// A pass over the first frame, or over later ones, a multiple of the temporal scale. `weights` is
    /// the root of the autoencoder's checkpoint.
    pub fn new(weights: &Weights<'c>, config: &'n VaeConfig, first: bool) -> Self {
        Self {
            weights: weights.clone(),
            config,
            first,
            layers: Vec::new(),
        }
    }

    /// The outputs of the layers recorded so far: `down0`, …, `mid`, `conv_out`, `quant_conv`.
    pub fn layers(&self) -> &[(String, Tensor)] {
        &self.layers
    }

    fn keep(&mut self, name: impl Into<String>, x: &Tensor) {
        self.layers.push((name.into(), *x));
    }

    fn levels(&self) -> usize {
        self.config.dim_mult.len()
    }

    /// Pixels to the split point between the halves: what comes out of the last level that downsamples.
    ///
    /// | tensor | shape | dtype |
    /// |---|---|---|
    /// | pixels | [F, H, W, 3 P²] in [-1, 1], H and W without the patch P | f32 |
    /// | result | [T, h, w, C], the sizes of the latents | f32 |
    ///
    /// # Errors
    /// Weights that are missing or of another shape, tensors larger than the device allows.
    pub fn fine(&mut self, rec: &mut Recorder<'_>, pixels: &Tensor) -> Result<Tensor, Error> {
        let [frames, ..] = pixels.dims::<4>("encoder", "pixels")?;
        if self.first && frames != 1 {
            return Err(RecordError::Shape {
                op: "encoder",
                name: "pixels",
                found: pixels.shape,
                expected: "1 frame in the first pass".into(),
            }
            .into());
        }
        let mut x = match self.levels() {
            1 => self.conv_in(rec, pixels)?,
            _ if self.halves_time(0) => {
                let x = self.conv_in(rec, pixels)?;
                self.level(rec, 0, &x)?
            }
            _ => self.finest(rec, pixels)?,
        };
        if self.levels() > 1 {
            self.keep("down0", &x);
        }
        for level in 1..self.levels().saturating_sub(1) {
            x = self.level(rec, level, &x)?;
            self.keep(format!("down{level}"), &x);
        }
        Ok(x)
    }

    /// Records the second half, from the split point to the means and log-variances of the latents,
    /// [T, h, w, 2 z].
    ///
    /// # Errors
    /// As [`EncoderNetwork::fine`].
    pub fn coarse(&mut self, rec: &mut Recorder<'_>, features: &Tensor) -> Result<Tensor, Error> {
        let level = self.levels() - 1;
        let x = self.level(rec, level, features)?;
        self.keep(format!("down{level}"), &x);
        let encoder = self.weights.at("encoder");
        let widest = x.shape.last_dim();
        let mid = encoder.at("mid_block");
        let x = residual_block(rec, &mid.at("resnets.0"), &x, widest)?;
        let x = attention_block(rec, &mid.at("attentions.0"), &x)?;
        let x = residual_block(rec, &mid.at("resnets.1"), &x, widest)?;
        self.keep("mid", &x);
        let x = norm_silu(rec, &encoder.at("norm_out"), &x)?;
        let values = 2 * self.config.z_dim;
        let x = conv_3x3x3(rec, &encoder.at("conv_out"), &x, values, None)?;
        self.keep("conv_out", &x);
        let x = conv_1x1x1(rec, &self.weights.at("quant_conv"), &x, values)?;
        self.keep("quant_conv", &x);
        Ok(x)
    }

    /// The first level, a frame at a time, because at their full size frames are large.
    fn finest(&self, rec: &mut Recorder<'_>, pixels: &Tensor) -> Result<Tensor, Error> {
        let [frames, height, width, channels] = pixels.dims("encoder", "pixels")?;
        if frames == 1 {
            let x = self.conv_in(rec, pixels)?;
            return self.level(rec, 0, &x);
        }
        let features = self.features(0);
        let shape = [frames, height / 2, width / 2, features];
        let all = rec.intermediate("encoder", shape, DType::F32);
        let frame = rec.intermediate("frame", [1, height, width, channels], DType::F32);
        for t in 0..frames as u64 {
            let bytes = frame.bytes();
            rec.copy((pixels, t * bytes), (&frame, 0), bytes);
            let x = self.conv_in(rec, &frame)?;
            let x = self.level(rec, 0, &x)?;
            rec.copy((&x, 0), (&all, t * x.bytes()), x.bytes());
        }
        Ok(all)
    }

    fn conv_in(&self, rec: &mut Recorder<'_>, pixels: &Tensor) -> Result<Tensor, Error> {
        let conv = self.weights.at("encoder").at("conv_in");
        conv_3x3x3(rec, &conv, pixels, self.config.base_dim, None)
    }

    fn features(&self, level: usize) -> usize {
        self.config.base_dim * self.config.dim_mult.get(level).copied().unwrap_or(0)
    }

    /// Whether a level halves time at its end.
    fn halves_time(&self, level: usize) -> bool {
        let halves = self.config.temperal_downsample.get(level);
        halves.copied().unwrap_or(false)
    }

    /// The residual blocks of a level and, but for the last, what downsamples at its end.
    fn level(&self, rec: &mut Recorder<'_>, level: usize, x: &Tensor) -> Result<Tensor, Error> {
        let last = level + 1 == self.levels();
        let temporal = !last && self.halves_time(level);
        let blocks = self.weights.at("encoder").at("down_blocks");
        let count = self.config.num_res_blocks;
        // Wan 2.1 has one list of all levels' blocks and downsamplers, Wan 2.2 a list for each level.
        let (resnets, first, downsampler) = if self.config.is_residual {
            let block = blocks.at(&level.to_string());
            (block.at("resnets"), 0, block.at("downsampler"))
        } else {
            let first = level * (count + 1);
            (
                blocks.clone(),
                first,
                blocks.at(&(first + count).to_string()),
            )
        };
        let mut y = *x;
        for block in first..first + count {
            let weights = resnets.at(&block.to_string());
            y = residual_block(rec, &weights, &y, self.features(level))?;
        }
        if !last {
            y = downsample(rec, &downsampler, &y, temporal, self.first)?;
        }
        if self.config.is_residual {
            let factors = [if temporal { 2 } else { 1 }, if last { 1 } else { 2 }];
            avg_down(rec, x, &y, factors)?;
        }
        Ok(y)
    }
}

/// Channels at the split point of the encoder.
pub(in crate::models::vae) fn split_channels(config: &VaeConfig) -> usize {
    let levels = config.dim_mult.len();
    let before_last = levels.checked_sub(2).and_then(|at| config.dim_mult.get(at));
    config.base_dim * before_last.copied().unwrap_or(1)
}

/// Latent lines beyond a band, on either side, that its split point depends on: one for each convolution
/// over three lines before it, halved at each downsampling. A downsampling sees a line below, none above.
pub fn encoder_halo(config: &VaeConfig) -> usize {
    let convolutions_a_level = 2 * config.num_res_blocks;
    let first_convolution = 1;
    let mut beyond: usize = first_convolution;
    for _ in 1..config.dim_mult.len() {
        beyond = (beyond + convolutions_a_level + 1).div_ceil(2);
    }
    beyond
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_halo_follows_the_levels() {
        let config = |text: &str| VaeConfig::parse("config.json", text.as_bytes()).unwrap();
        // (1 + 4 + 1) / 2 = 3, (3 + 4 + 1) / 2 = 4, (4 + 4 + 1) / 2 = 4.5
        let wan21 = config(r#"{"_class_name": "AutoencoderKLWan"}"#);
        assert_eq!(encoder_halo(&wan21), 5);
        let one_level = config(
            r#"{"_class_name": "AutoencoderKLWan", "dim_mult": [2], "temperal_downsample": [],
                "scale_factor_spatial": 1, "scale_factor_temporal": 1}"#,
        );
        assert_eq!(encoder_halo(&one_level), 1);
    }
}
