//! `vae/config.json`: the autoencoder that turns latents into frames.

use super::fields::Fields;
use crate::error::ConfigError;

/// The normalisation of Wan 2.1's 16 latent channels: the defaults of the reference's signature.
pub(crate) const WAN21_MEAN: [f64; 16] = [
    -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508, 0.4134, -0.0715, 0.5517,
    -0.3632, -0.1922, -0.9497, 0.2503, -0.2921,
];
pub(crate) const WAN21_STD: [f64; 16] = [
    2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743, 3.2687, 2.1526, 2.8652, 1.5579,
    1.6382, 1.1253, 2.8251, 1.9160,
];

/// The normalisation of Wan 2.2's 48 latent channels, as its release has it (`Wan2_2_VAE`).
pub(crate) const WAN22_MEAN: [f64; 48] = [
    -0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557, -0.1382, 0.0542, 0.2813,
    0.0891, 0.1570, -0.0098, 0.0375, -0.1825, -0.2246, -0.1207, -0.0698, 0.5109, 0.2665, -0.2108,
    -0.2158, 0.2502, -0.2055, -0.0322, 0.1109, 0.1567, -0.0729, 0.0899, -0.2799, -0.1230, -0.0313,
    -0.1649, 0.0117, 0.0723, -0.2839, -0.2083, -0.0520, 0.3748, 0.0152, 0.1957, 0.1433, -0.2944,
    0.3573, -0.0548, -0.1681, -0.0667,
];
pub(crate) const WAN22_STD: [f64; 48] = [
    0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.4990, 0.4818, 0.5013, 0.8158, 1.0344, 0.5894, 1.0901,
    0.6885, 0.6165, 0.8454, 0.4978, 0.5759, 0.3523, 0.7135, 0.6804, 0.5833, 1.4146, 0.8986, 0.5659,
    0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999, 0.6866, 0.4093, 0.5709, 0.6065, 0.6415, 0.4944,
    0.5726, 1.2042, 0.5458, 1.6887, 0.3971, 1.0600, 0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744,
];

/// `AutoencoderKLWan` of diffusers: Wan 2.1's, and Wan 2.2's with `is_residual` and a patch.
#[derive(Clone, Debug, PartialEq)]
pub struct VaeConfig {
    /// Channels of the encoder's first level.
    pub base_dim: usize,
    /// Channels of the decoder's last level; `base_dim` unless given.
    pub decoder_base_dim: usize,
    /// Latent channels.
    pub z_dim: usize,
    /// Channels of each level, in multiples of the base, from the finest to the coarsest.
    pub dim_mult: Vec<usize>,
    /// Residual blocks of each of the encoder's levels; the decoder has one more.
    pub num_res_blocks: usize,
    /// Whether the encoder halves time at each step between levels (the reference's spelling);
    /// the decoder doubles it in the reverse order.
    pub temperal_downsample: Vec<bool>,
    /// Mean of each latent channel, `z_dim` of them.
    pub latents_mean: Vec<f64>,
    /// Standard deviation of each latent channel, `z_dim` of them.
    pub latents_std: Vec<f64>,
    /// Whether each level has a shortcut around it (Wan 2.2).
    pub is_residual: bool,
    /// Channels of the encoder's input: 3 · `patch_size`².
    pub in_channels: usize,
    /// Channels of the decoder's output: 3 · `patch_size`².
    pub out_channels: usize,
    /// Pixels along a side of the square that one output position holds; 1 for Wan 2.1.
    pub patch_size: usize,
    /// Frames per latent frame, after the first.
    pub scale_factor_temporal: usize,
    /// Pixels per latent along a side.
    pub scale_factor_spatial: usize,
}

impl VaeConfig {
    /// Reads the JSON in `text`; `file` is its name for messages.
    ///
    /// # Errors
    /// A [`ConfigError`] that names the field: another class, a number that no model can have, or
    /// fields that contradict each other.
    pub fn parse(file: &str, text: &[u8]) -> Result<Self, ConfigError> {
        let fields = Fields::parse(file, text)?;
        fields.class("_class_name", &["AutoencoderKLWan"])?;
        let base_dim = fields.count("base_dim", Some(96), 1..=16_384)?;
        let config = Self {
            base_dim,
            decoder_base_dim: match fields.given("decoder_base_dim") {
                None => base_dim,
                Some(_) => fields.count("decoder_base_dim", None, 1..=16_384)?,
            },
            z_dim: fields.count("z_dim", Some(16), 1..=4096)?,
            dim_mult: fields.counts("dim_mult", &[1, 2, 4, 4], 1..=256)?,
            num_res_blocks: fields.count("num_res_blocks", Some(2), 1..=64)?,
            temperal_downsample: fields.flags("temperal_downsample", &[false, true, true])?,
            latents_mean: fields.reals("latents_mean", &WAN21_MEAN, -1e6..=1e6)?,
            latents_std: fields.reals("latents_std", &WAN21_STD, 1e-6..=1e6)?,
            is_residual: fields.flag("is_residual", false)?,
            in_channels: fields.count("in_channels", Some(3), 1..=4096)?,
            out_channels: fields.count("out_channels", Some(3), 1..=4096)?,
            patch_size: match fields.given("patch_size") {
                None => 1,
                Some(_) => fields.count("patch_size", None, 1..=16)?,
            },
            scale_factor_temporal: fields.count("scale_factor_temporal", Some(4), 1..=64)?,
            scale_factor_spatial: fields.count("scale_factor_spatial", Some(8), 1..=1024)?,
        };
        config.check(&fields)?;
        Ok(config)
    }

    /// Channels of the decoder's levels, from the coarsest to the finest: one more than there are
    /// levels, since the first is the middle block's.
    #[must_use]
    pub fn decoder_dims(&self) -> Vec<usize> {
        let coarsest = self.dim_mult.last().copied();
        let multiples = coarsest
            .into_iter()
            .chain(self.dim_mult.iter().rev().copied());
        multiples
            .map(|multiple| multiple * self.decoder_base_dim)
            .collect()
    }

    /// Whether the decoder doubles time at each step between levels, from the coarsest.
    #[must_use]
    pub fn temporal_upsample(&self) -> Vec<bool> {
        self.temperal_downsample.iter().rev().copied().collect()
    }

    fn check(&self, fields: &Fields<'_>) -> Result<(), ConfigError> {
        let levels = self.dim_mult.len();
        if !(1..=8).contains(&levels) {
            return Err(fields.wrong("dim_mult", "a list of 1 to 8 whole numbers"));
        }
        if self.temperal_downsample.len() != levels - 1 {
            let expected = format!("{} values, one less than dim_mult has", levels - 1);
            return Err(fields.wrong("temperal_downsample", &expected));
        }
        for (field, len) in [
            ("latents_mean", self.latents_mean.len()),
            ("latents_std", self.latents_std.len()),
        ] {
            if len != self.z_dim {
                return Err(fields.wrong(
                    field,
                    &format!("{} numbers, one for each of z_dim", self.z_dim),
                ));
            }
        }
        let channels = 3 * self.patch_size * self.patch_size;
        if self.out_channels != channels {
            let expected = format!("{channels}, which is 3 · patch_size²");
            return Err(fields.wrong("out_channels", &expected));
        }
        let spatial = self.patch_size << (levels - 1);
        if self.scale_factor_spatial != spatial {
            let expected = format!("{spatial}, which dim_mult and patch_size make");
            return Err(fields.wrong("scale_factor_spatial", &expected));
        }
        let temporal = 1
            << self
                .temperal_downsample
                .iter()
                .filter(|&&halves| halves)
                .count();
        if self.scale_factor_temporal != temporal {
            let expected = format!("{temporal}, which temperal_downsample makes");
            return Err(fields.wrong("scale_factor_temporal", &expected));
        }
        self.check_levels(fields)
    }

    /// Each level must be able to hand its channels to the next.
    fn check_levels(&self, fields: &Fields<'_>) -> Result<(), ConfigError> {
        let dims = self.decoder_dims();
        let steps = dims
            .iter()
            .zip(dims.iter().skip(1))
            .zip(self.temporal_upsample());
        for ((&coarse, &fine), doubles_time) in steps {
            if self.is_residual {
                // `DupUp3D` repeats whole channels: 4 positions in space, and 2 in time.
                let positions = if doubles_time { 8 } else { 4 };
                if fine * positions % coarse != 0 {
                    let expected = format!(
                        "multiples such that {coarse} channels divide {positions} · {fine}, which the residual shortcut needs"
                    );
                    return Err(fields.wrong("dim_mult", &expected));
                }
            } else if fine < 2 {
                let expected = "at least 2, since each upsampling halves the channels";
                return Err(fields.wrong("decoder_base_dim", expected));
            }
        }
        Ok(())
    }
}
