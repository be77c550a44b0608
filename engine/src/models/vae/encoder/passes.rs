//! The recordings of an encode: the first frame, a chunk of later ones, what remains.

use super::band::EncodeBand;
use crate::error::Error;
use crate::models::config::VaeConfig;
use crate::models::vae::passes::{Extent, FEATURES, forget, sizes};
use crate::models::vae::wan::EncoderNetwork;
use crate::nn::Weights;
use crate::record::{Caps, Recorder, Recording};
use crate::tensor::DType;
use crate::weights::Checkpoint;

/// Names of the tensors that cross from and to the host; [`FEATURES`] are at the split point.
pub(super) const PIXELS: &str = "pixels";
pub(super) const MOMENTS: &str = "moments";

/// Every recording of an encode.
#[derive(Clone, Debug)]
pub(super) struct Passes {
    /// Pixels to the split, by pass.
    pub(super) fine: Vec<Recording>,
    /// The split point to moments, by pass.
    pub(super) coarse: Vec<Recording>,
    /// Recordings that clear the states of the fine and of the coarse half.
    pub(super) forget: [Recording; 2],
}

impl Passes {
    /// Records the passes of a video whose first half sees whole frames, or bands of lines.
    pub(super) fn record(
        caps: &Caps,
        config: &VaeConfig,
        checkpoint: &Checkpoint,
        extent: Extent,
        chunk: usize,
        band: Option<&EncodeBand>,
    ) -> Result<Self, Error> {
        let (mut fine, mut coarse) = (Vec::new(), Vec::new());
        for (index, frames) in sizes(extent.frames, chunk).into_iter().enumerate() {
            let extent = Extent { frames, ..extent };
            let halves = record(caps, config, checkpoint, extent, band, index == 0)?;
            fine.push(halves.0);
            coarse.push(halves.1);
        }
        Ok(Self {
            forget: [forget(caps, &fine)?, forget(caps, &coarse)?],
            fine,
            coarse,
        })
    }

    /// All of them: the fine halves, the coarse ones, those that forget.
    pub(super) fn all(&self) -> Vec<&Recording> {
        let halves = self.fine.iter().chain(&self.coarse);
        halves.chain(&self.forget).collect()
    }

    /// The recordings of each half: its passes, then the one that clears its states.
    pub(super) fn halves(&self) -> [Vec<&Recording>; 2] {
        let [fine, coarse] = &self.forget;
        [
            self.fine.iter().chain([fine]).collect(),
            self.coarse.iter().chain([coarse]).collect(),
        ]
    }
}

/// The two halves over `extent.frames` latent frames, the first over whole ones or over bands.
pub(super) fn record(
    caps: &Caps,
    config: &VaeConfig,
    checkpoint: &Checkpoint,
    extent: Extent,
    band: Option<&EncodeBand>,
    first: bool,
) -> Result<(Recording, Recording), Error> {
    let weights = Weights::new(checkpoint);
    let side = config.scale_factor_spatial / config.patch_size;
    let frames = if first {
        1
    } else {
        extent.frames * config.scale_factor_temporal
    };
    let lines = band.map_or(extent.height, EncodeBand::seen);
    let mut network = EncoderNetwork::new(&weights, config, first);

    let mut rec = Recorder::new(caps);
    let channels = 3 * config.patch_size * config.patch_size;
    let shape = [frames, lines * side, extent.width * side, channels];
    let pixels = rec.input(PIXELS, shape, DType::F32)?;
    let features = network.fine(&mut rec, &pixels)?;
    let out = rec.output(FEATURES, features.shape, features.dtype)?;
    rec.copy((&features, 0), (&out, 0), features.bytes());
    let fine = rec.finish();

    let mut rec = Recorder::new(caps);
    let channels = features.shape.last_dim();
    let shape = [extent.frames, extent.height, extent.width, channels];
    let features = rec.input(FEATURES, shape, DType::F32)?;
    let moments = network.coarse(&mut rec, &features)?;
    let out = rec.output(MOMENTS, moments.shape, moments.dtype)?;
    rec.copy((&moments, 0), (&out, 0), moments.bytes());
    Ok((fine, rec.finish()))
}
