//! Tiny decoders of Wan's latents (madebyollin's TAEHV: `taew2_1` and `taew2_2`), which approximate
//! the autoencoder's decoder in a fraction of its time.
//!
//! ```text
//! latents ─ 3 tanh(x / 3) ─ conv, relu ─ 3 memory blocks ─┐ head
//! ┌────────────────────────────────────────────── split ──┘
//! └─ grow ─ upsample, conv ─ 3 memory blocks ─ grow ─ … ─ upsample, conv, relu ─ conv ─ bytes      tail
//! ```
//!
//! A memory block sees a frame and the previous one, so the state between two chunks is one frame per
//! block. Latents go in as the sampler has them, normalised, or as the
//! autoencoder has them ([`TinyLatents`]). The reference keeps only the last of the frames that
//! the first latent frame gives (`frames_to_trim`).

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::error::{Error, VaeError};
use crate::models::config::VaeConfig;
use crate::models::vae::{Architecture, Crop, Features};
use crate::nn::Weights;
use crate::ops::conv3d::{Conv, conv3d};
use crate::ops::frames::push_frames;
use crate::ops::latents::{Pixels, denormalise};
use crate::ops::matmul::Epilogue;
use crate::record::{Pack, Recorder, Tensor};
use crate::tensor::DType;
use crate::weights::Checkpoint;

/// Levels before the last one: each ends in an upsampling.
const LEVELS: usize = 3;

/// Memory blocks of a level.
const BLOCKS: usize = 3;

/// Numbers of the modules `decoder.N` of the reference's `nn.Sequential`, by level.
const FIRST_CONV: &str = "1";
const MEMORY: [usize; LEVELS] = [3, 9, 15];
const GROW: [usize; LEVELS] = [7, 13, 19];
const CONV: [usize; LEVELS] = [8, 14, 20];
const LAST_CONV: &str = "22";

/// Which latents a tiny decoder was trained on. Its tensors do not say: LightX2V's `lighttaew2_1` and
/// `lighttaew2_2` have the names and shapes of `taew2_1` and `taew2_2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TinyLatents {
    /// As the sampler has them: TAEHV's `taew2_1` and `taew2_2`.
    Raw,
    /// As the autoencoder has them, `latents · std + mean`: LightX2V's.
    Scaled,
}

impl TinyLatents {
    /// Both, under their names.
    pub const ALL: [(&'static str, Self); 2] = [("raw", Self::Raw), ("scaled", Self::Scaled)];

    /// Reads the kind from the file's name, by which LightX2V distinguishes its decoders from TAEHV's.
    #[must_use]
    pub fn of_file(file: &Path) -> Self {
        let name = file
            .file_name()
            .map(|name| name.to_string_lossy().to_lowercase());
        match name {
            Some(name) if name.contains("lighttae") => Self::Scaled,
            _ => Self::Raw,
        }
    }
}

impl fmt::Display for TinyLatents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Self::ALL.iter().find(|(_, latents)| latents == self);
        f.write_str(named.map_or("", |(name, _)| name))
    }
}

impl FromStr for TinyLatents {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found
            .map(|(_, latents)| *latents)
            .ok_or_else(|| "expected raw or scaled".to_owned())
    }
}

/// A tiny decoder, as its checkpoint has it.
#[derive(Clone, Debug, PartialEq)]
pub struct TinyVae {
    /// Of the latents.
    channels: usize,
    /// Channels of each level, and those before the last convolution.
    widths: [usize; LEVELS + 1],
    /// Frames that a frame becomes at the end of each level.
    grows: [usize; LEVELS],
    /// Pixels along a side of the patch at each position of the last convolution.
    patch_size: usize,
    latents: TinyLatents,
    /// Deviations and means of the autoencoder's latents.
    statistics: Vec<f32>,
}

impl TinyVae {
    /// The decoder in a checkpoint, for the latents of the autoencoder `vae`. Widths come
    /// from the tensors; an encoder in the file is not read. The file's name
    /// [determines](TinyLatents::of_file) the kind of latents; [`with_latents`](Self::with_latents)
    /// overrides it.
    ///
    /// # Errors
    /// [`VaeError::Tiny`] for tensors that are not a tiny decoder's, and for a decoder of other latents.
    pub fn of(checkpoint: &Checkpoint, vae: &VaeConfig) -> Result<Self, Error> {
        let wrong = |found: String, expected: String| VaeError::Tiny {
            file: checkpoint.origin().to_owned(),
            found,
            expected,
        };
        // [features, channels] of a convolution.
        let features = |module: &str| {
            let name = format!("decoder.{module}.weight");
            match checkpoint.shape_of(&name) {
                Some([features, channels, ..]) if features * channels > 0 => {
                    Ok([*features, *channels])
                }
                Some(shape) => Err(wrong(
                    format!("{name} is {shape:?}"),
                    "a convolution, [features, channels, height, width]".into(),
                )),
                None => Err(wrong(
                    format!("there is no {name}"),
                    "the tensors of taew2_1 or taew2_2 (github.com/madebyollin/taehv)".into(),
                )),
            }
        };
        let [first, channels] = features(FIRST_CONV)?;
        let mut widths = [first; LEVELS + 1];
        let mut grows = [1; LEVELS];
        for level in 0..LEVELS {
            widths[level + 1] = features(&CONV[level].to_string())?[0];
            let [grown, width] = features(&format!("{}.conv", GROW[level]))?;
            grows[level] = grown / width;
        }
        let [values, _] = features(LAST_CONV)?;
        let patch_size = (values / 3).isqrt();
        let this = Self {
            channels,
            widths,
            grows,
            patch_size,
            latents: TinyLatents::of_file(Path::new(checkpoint.origin())),
            statistics: vae.statistics(),
        };
        let kind = |channels: usize, [frames, side]: [usize; 2]| {
            format!("{channels} channels, {frames} frames of {side}x{side} pixels a latent")
        };
        let found = kind(channels, this.scale());
        let expected = kind(
            vae.z_dim,
            [vae.scale_factor_temporal, vae.scale_factor_spatial],
        );
        if found == expected && values == 3 * patch_size * patch_size {
            Ok(this)
        } else {
            Err(wrong(
                format!("it decodes latents of {found}"),
                format!(
                    "{expected}, the model's: taew2_1 and lighttaew2_1 are for Wan 2.1 and 2.2 A14B, taew2_2 and lighttaew2_2 for 2.2 TI2V-5B"
                ),
            )
            .into())
        }
    }

    /// Sets the kind of latents.
    #[must_use]
    pub fn with_latents(self, latents: TinyLatents) -> Self {
        Self { latents, ..self }
    }

    /// Which latents it takes.
    #[must_use]
    pub fn latents(&self) -> TinyLatents {
        self.latents
    }

    fn memory_blocks(
        &self,
        rec: &mut Recorder<'_>,
        weights: &Weights<'_>,
        level: usize,
        x: &Tensor,
    ) -> Result<Tensor, Error> {
        let mut x = *x;
        for block in 0..BLOCKS {
            let weights = weights.at(&(MEMORY[level] + block).to_string()).at("conv");
            x = memory_block(rec, &weights, &x)?;
        }
        Ok(x)
    }

    /// The end of the last level, a frame at a time, because at their full size frames are large;
    /// of a video's first frames only the last.
    fn pictures(
        &self,
        rec: &mut Recorder<'_>,
        weights: &Weights<'_>,
        x: &Tensor,
        first: bool,
    ) -> Result<Tensor, Error> {
        let [frames, height, width, channels] = x.dims("tiny decoder", "x")?;
        let skipped = if first { self.scale()[0] - 1 } else { 0 };
        let values = 3 * self.patch_size * self.patch_size;
        let shape = [frames - skipped, 2 * height, 2 * width, values];
        let all = rec.intermediate("tiny decoder", shape, DType::F32);
        let frame = rec.intermediate("frame", [1, height, width, channels], DType::F32);
        for t in skipped..frames {
            rec.copy((x, t as u64 * frame.bytes()), (&frame, 0), frame.bytes());
            let features = self.widths[LEVELS];
            let conv = weights.at(&CONV[LEVELS - 1].to_string());
            let y = upsample(rec, &conv, &frame, features, Epilogue::Relu)?;
            let y = conv_3x3(rec, &weights.at(LAST_CONV), &y, values, false)?;
            rec.copy((&y, 0), (&all, (t - skipped) as u64 * y.bytes()), y.bytes());
        }
        Ok(all)
    }
}

impl Architecture for TinyVae {
    fn channels(&self) -> usize {
        self.channels
    }

    fn scale(&self) -> [usize; 2] {
        [self.grows.iter().product(), self.patch_size << LEVELS]
    }

    fn statistics(&self) -> Vec<f32> {
        match self.latents {
            TinyLatents::Scaled => self.statistics.clone(),
            TinyLatents::Raw => {
                let (deviations, means) = (1.0, 0.0);
                [vec![deviations; self.channels], vec![means; self.channels]].concat()
            }
        }
    }

    fn unread(&self) -> &'static [&'static str] {
        &["encoder."]
    }

    fn halos(&self) -> Vec<usize> {
        let convolutions_a_level = 3 * BLOCKS;
        let last_convolution: usize = 1;
        let mut beyond = last_convolution;
        let mut halos = Vec::new();
        for _ in 0..LEVELS {
            let upsampling = 1;
            let halo = (beyond + upsampling).div_ceil(2);
            halos.insert(0, halo);
            beyond = halo + convolutions_a_level;
        }
        halos
    }

    fn pixels(&self) -> Pixels {
        Pixels {
            patch_size: self.patch_size,
            by_lines: true,
            range: [0.0, 1.0],
        }
    }

    fn head(
        &self,
        rec: &mut Recorder<'_>,
        weights: &Weights<'_>,
        latents: &Tensor,
        statistics: &Tensor,
        _first: bool,
    ) -> Result<Features, Error> {
        let weights = weights.at("decoder");
        let x = denormalise(rec, latents, statistics, true)?;
        let x = conv_3x3(rec, &weights.at(FIRST_CONV), &x, self.widths[0], true)?;
        let x = self.memory_blocks(rec, &weights, 0, &x)?;
        Ok(Features { x, shortcut: None })
    }

    fn tail(
        &self,
        rec: &mut Recorder<'_>,
        weights: &Weights<'_>,
        features: &Features,
        crop: Option<&Crop>,
        first: bool,
    ) -> Result<Tensor, Error> {
        let weights = weights.at("decoder");
        let mut x = features.x;
        for level in 0..LEVELS {
            if level > 0 {
                x = self.memory_blocks(rec, &weights, level, &x)?;
                if let Some(crop) = crop {
                    x = crop.apply(rec, level, &x)?;
                }
            }
            // The reference repeats pixels before it makes frames of channels: of one pixel either
            // order makes the same four.
            let grow = weights.at(&GROW[level].to_string()).at("conv");
            x = grow_frames(rec, &grow, &x, self.grows[level])?;
            if level + 1 < LEVELS {
                let conv = weights.at(&CONV[level].to_string());
                x = upsample(rec, &conv, &x, self.widths[level + 1], Epilogue::None)?;
            }
        }
        self.pictures(rec, &weights, &x, first)
    }
}

/// `MemBlock`: three convolutions with a shortcut. The first sees a frame and the previous one, which
/// is zeros at the start of a video.
fn memory_block(
    rec: &mut Recorder<'_>,
    weights: &Weights<'_>,
    x: &Tensor,
) -> Result<Tensor, Error> {
    let [_, height, width, channels] = x.dims("memory block", "x")?;
    let first = weights.at("0");
    let both = [channels, 2 * channels, 3, 3];
    let weight = first.weight(rec, "weight", both, Pack::ConvOfTwo)?;
    let weight = Tensor {
        shape: [channels, channels, 2, 3, 3].into(),
        ..weight
    };
    let bias = first.vector(rec, "bias", [channels])?;
    let past = rec.state(
        &first.name("past"),
        [1, height, width, channels],
        DType::F32,
    )?;
    let conv = Conv::causal(&weight, &past);
    let y = conv3d(rec, x, &conv, Epilogue::BiasRelu(&bias))?;
    push_frames(rec, &past, x)?;
    let y = conv_3x3(rec, &weights.at("2"), &y, channels, true)?;
    let last = weights.at("4");
    let [weight, bias] = last.convolution(rec, [channels, channels, 3, 3])?;
    let epilogue = Epilogue::BiasResidualRelu(&bias, x);
    Ok(conv3d(rec, &y, &Conv::new(&weight), epilogue)?)
}

/// A convolution over three lines and columns.
fn conv_3x3(
    rec: &mut Recorder<'_>,
    weights: &Weights<'_>,
    x: &Tensor,
    features: usize,
    relu: bool,
) -> Result<Tensor, Error> {
    let channels = x.shape.last_dim();
    let [weight, bias] = weights.convolution(rec, [features, channels, 3, 3])?;
    let epilogue = if relu {
        Epilogue::BiasRelu(&bias)
    } else {
        Epilogue::Bias(&bias)
    };
    Ok(conv3d(rec, x, &Conv::new(&weight), epilogue)?)
}

/// Every pixel as four, under a convolution without bias.
fn upsample(
    rec: &mut Recorder<'_>,
    weights: &Weights<'_>,
    x: &Tensor,
    features: usize,
    epilogue: Epilogue<'_>,
) -> Result<Tensor, Error> {
    let channels = x.shape.last_dim();
    let weight = weights.weight(rec, "weight", [features, channels, 3, 3], Pack::Conv)?;
    let conv = Conv {
        upsample: true,
        ..Conv::new(&weight)
    };
    Ok(conv3d(rec, x, &conv, epilogue)?)
}

/// `TGrow`: frames out of channels.
fn grow_frames(
    rec: &mut Recorder<'_>,
    weights: &Weights<'_>,
    x: &Tensor,
    frames: usize,
) -> Result<Tensor, Error> {
    let channels = x.shape.last_dim();
    let shape = [frames * channels, channels, 1, 1];
    let weight = weights.weight(rec, "weight", shape, Pack::Conv)?;
    let conv = Conv {
        folds: frames,
        ..Conv::new(&weight)
    };
    Ok(conv3d(rec, x, &conv, Epilogue::None)?)
}
