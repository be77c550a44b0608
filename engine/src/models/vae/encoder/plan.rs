//! The layout and recordings of an encode.

use super::band::EncodeBand;
use super::passes::{self, MOMENTS, Passes};
use super::{EncodeLayout, EncodeOptions, NETWORK};
use crate::error::{Error, VaeError};
use crate::models::config::VaeConfig;
use crate::models::vae::layout::{Subject, Tried, choose, taken};
use crate::models::vae::passes::Extent;
use crate::models::vae::wan::encoder_halo;
use crate::record::{Caps, Recording};
use crate::weights::Checkpoint;

/// Prefixes of tensors that the encoder does not use.
const UNREAD: [&str; 2] = ["decoder.", "post_quant_conv."];

/// The layout and recordings of an encode of videos of one shape; memory plans count them and encoders
/// run them.
#[derive(Clone, Debug)]
pub struct EncodePlan {
    /// Its memory, chunks and bands.
    pub layout: EncodeLayout,
    pub(super) passes: Passes,
}

impl EncodePlan {
    /// Lays out and records the encode of a video [F, H, W] in pixels, without a device; only the
    /// names, shapes and types of the weights are read.
    ///
    /// # Errors
    /// As [`VaeEncoder::new`](super::VaeEncoder::new).
    pub fn new(
        caps: &Caps,
        config: &VaeConfig,
        checkpoint: &Checkpoint,
        video: [usize; 3],
        options: &EncodeOptions,
    ) -> Result<Self, Error> {
        let (layout, passes) = prepare(caps, config, checkpoint, video, options)?;
        Ok(Self { layout, passes })
    }

    /// All recordings, for compiling their kernels.
    pub fn recordings(&self) -> Vec<&Recording> {
        self.passes.all()
    }
}

/// The layout that [`EncodePlan::new`] chooses.
///
/// # Errors
/// As [`VaeEncoder::new`](super::VaeEncoder::new).
pub fn encode_layout(
    caps: &Caps,
    config: &VaeConfig,
    checkpoint: &Checkpoint,
    video: [usize; 3],
    options: &EncodeOptions,
) -> Result<EncodeLayout, Error> {
    prepare(caps, config, checkpoint, video, options).map(|(layout, _)| layout)
}

/// The extents of the latents of a video.
pub(super) fn extent(
    config: &VaeConfig,
    [frames, height, width]: [usize; 3],
) -> Result<Extent, VaeError> {
    let (step, side) = (config.scale_factor_temporal, config.scale_factor_spatial);
    if frames == 0 {
        let name = "the number of frames";
        return Err(VaeError::Zero {
            network: NETWORK,
            name,
        });
    }
    if !(frames - 1).is_multiple_of(step) {
        return Err(VaeError::Frames {
            found: frames,
            step,
        });
    }
    if !height.is_multiple_of(side) || !width.is_multiple_of(side) {
        return Err(VaeError::Size {
            width,
            height,
            side,
        });
    }
    Ok(Extent {
        frames: 1 + (frames - 1) / step,
        height: height / side,
        width: width / side,
    })
}

pub(super) fn prepare(
    caps: &Caps,
    config: &VaeConfig,
    checkpoint: &Checkpoint,
    video: [usize; 3],
    options: &EncodeOptions,
) -> Result<(EncodeLayout, Passes), Error> {
    let extent = extent(config, video)?;
    let halo = encoder_halo(config);
    let subject = Subject {
        network: NETWORK,
        scale: [config.scale_factor_temporal, config.scale_factor_spatial],
        extent,
        halo,
    };
    let prepared = choose(caps, subject, options, |chunk, band| {
        // A band that sees as much as a frame has is the whole frame.
        let band = band.map(|band| EncodeBand::new(band, extent.height, halo));
        let band = band.filter(|band| !band.is_whole());
        let passes = Passes::record(caps, config, checkpoint, extent, chunk, band.as_ref())?;
        let turns = match band {
            None => vec![taken(&passes.all(), |name| name == MOMENTS)],
            // The halves take turns.
            Some(_) => passes.halves().map(|half| taken(&half, |_| true)).into(),
        };
        Ok(Tried {
            band: band.map(|band| band.band()),
            turns,
            passes,
        })
    })?;
    if extent.frames == 1 {
        // A single frame records no temporal convolution; record them here so that their weights do not
        // count as unread. The names do not depend on the size.
        let smallest = Extent {
            frames: 1,
            height: 1,
            width: 1,
        };
        passes::record(caps, config, checkpoint, smallest, None, false)?;
    }
    checkpoint.check_all_read(&UNREAD)?;
    Ok(prepared)
}
