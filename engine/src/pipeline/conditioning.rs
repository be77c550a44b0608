//! The denoiser's inputs other than the latents and the time.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::RequestError;
use crate::model_files::ModelConfig;
use crate::models::config::MASK_CHANNELS;
use crate::request::Inputs;
use crate::weights::Encoded;

/// Names of encoded pictures in a saved run.
pub(super) const IMAGE: &str = "image";
pub(super) const KNOWN: &str = "known";

/// Host values that every step of a run is conditioned on, made by the encoders before the first
/// step. A family reads the fields that it knows.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Conditioning {
    /// Embeddings [tokens, text_dim] f32 of the prompt and, in a guided run, of the negative
    /// prompt.
    pub text: Vec<Vec<f32>>,
    /// What the encoders made of pictures: `image` [tokens, image_dim], CLIP's states of one picture
    /// or two; `known` [C, T, h, w], normalised latents of the frames that are known.
    pub encoded: Arc<BTreeMap<String, Encoded>>,
}

/// How a transformer sees the frames that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// There are none.
    Nothing,
    /// The first latent frame is given, and is told time 0: Wan 2.2 TI2V-5B.
    FirstFrame,
    /// Their mask and latents follow the noisy latents along the channels: Wan's I2V and FLF2V.
    Channels {
        /// Pictures whose image tokens the transformer sees too.
        pictures: usize,
    },
}

impl Form {
    /// The form of a run of this model from these inputs.
    pub(crate) fn of(config: &ModelConfig, inputs: &Inputs) -> Self {
        let transformer = &config.transformer;
        if transformer.sees_condition() {
            return Self::Channels {
                pictures: match (transformer.image_dim, transformer.pos_embed_seq_len) {
                    (None, _) => 0,
                    (Some(_), None) => 1,
                    (Some(_), Some(_)) => 2,
                },
            };
        }
        if config.pipeline.expand_timesteps && inputs.image.is_some() {
            Self::FirstFrame
        } else {
            Self::Nothing
        }
    }

    /// Pictures whose image tokens the transformer sees.
    pub(crate) fn pictures(self) -> usize {
        match self {
            Self::Channels { pictures } => pictures,
            Self::Nothing | Self::FirstFrame => 0,
        }
    }

    /// What the encoders must have made, by name.
    fn needed(self) -> &'static [&'static str] {
        match self {
            Self::Nothing => &[],
            Self::FirstFrame | Self::Channels { pictures: 0 } => &[KNOWN],
            Self::Channels { .. } => &[IMAGE, KNOWN],
        }
    }
}

impl Conditioning {
    /// The values that an encoder made.
    pub(super) fn encoded(&self, name: &'static str) -> Result<&Encoded, RequestError> {
        let missing = RequestError::NotPlanned { part: name };
        self.encoded.get(name).ok_or(missing)
    }

    /// Whether everything is there that the form needs.
    pub(super) fn serves(&self, form: Form) -> bool {
        let mut needed = form.needed().iter();
        needed.all(|name| self.encoded.contains_key(*name))
    }

    /// Puts the known first frame into a sample [1, C, T, h, w], as the reference does after the last
    /// step.
    pub(super) fn restore_first_frame(&self, sample: &mut [f32], shape: [usize; 5]) {
        let [_, _, frames, height, width] = shape;
        let area = height * width;
        let Some(known) = self.encoded.get(KNOWN) else {
            return;
        };
        let channels = sample.chunks_exact_mut(frames * area);
        for (channel, known) in channels.zip(known.values.chunks_exact(area)) {
            channel[..area].copy_from_slice(known);
        }
    }
}

/// The mask [4, T, h, w] of a clip whose first or last frame is known, as
/// `WanImageToVideoPipeline.prepare_latents` makes it: channel j of latent frame i > 0 stands for frame
/// 4 (i - 1) + 1 + j, and all channels of latent frame 0 for frame 0.
pub(super) fn mask([frames, height, width]: [usize; 3], first: bool, last: bool) -> Vec<f32> {
    let area = height * width;
    let mut mask = vec![0.0; MASK_CHANNELS * frames * area];
    for (channel, values) in mask.chunks_exact_mut(frames * area).enumerate() {
        if first {
            values[..area].fill(1.0);
        }
        if last && channel == MASK_CHANNELS - 1 && frames > 1 {
            values[(frames - 1) * area..].fill(1.0);
        }
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn the_mask_marks_the_first_frame_in_all_channels_and_the_last_in_one() {
        let both = mask([3, 1, 1], true, true);
        assert_eq!(both, [1., 0., 0., 1., 0., 0., 1., 0., 0., 1., 0., 1.]);
        let first = mask([2, 1, 2], true, false);
        assert_eq!(first, [1., 1., 0., 0.].repeat(4));
        assert_eq!(mask([1, 1, 1], false, true), [0.; 4]);
    }
}
