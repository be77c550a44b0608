//! The layout and recordings of a decode.

use super::architecture::Architecture;
use super::bands::BandLines;
use super::decoder::NETWORK;
use super::layout::{DecodeLayout, DecodeOptions, Subject, Tried, choose, taken};
use super::passes::{self, Extent, Passes};
use crate::error::{Error, VaeError};
use crate::gpu::READ_PIECE;
use crate::record::{Caps, Recording};
use crate::weights::Checkpoint;

/// The layout and recordings of a decode of latents of one shape; memory plans count them and decoders
/// run them.
#[derive(Clone, Debug)]
pub struct DecodePlan {
    /// Its memory, chunks and bands.
    pub layout: DecodeLayout,
    pub(super) passes: Passes,
}

impl DecodePlan {
    /// Lays out and records the decode of latents [C, T, h, w], without a device; only the names,
    /// shapes and types of the weights are read.
    ///
    /// # Errors
    /// As [`VaeDecoder::new`](super::VaeDecoder::new).
    pub fn new(
        caps: &Caps,
        config: &dyn Architecture,
        checkpoint: &Checkpoint,
        latents: [usize; 4],
        options: &DecodeOptions,
    ) -> Result<Self, Error> {
        let (layout, passes) = prepare(caps, config, checkpoint, latents, options)?;
        Ok(Self { layout, passes })
    }

    /// All recordings, for compiling their kernels.
    pub fn recordings(&self) -> Vec<&Recording> {
        self.passes.all()
    }
}

/// The layout that [`DecodePlan::new`] chooses.
///
/// # Errors
/// As [`VaeDecoder::new`](super::VaeDecoder::new).
pub fn decode_layout(
    caps: &Caps,
    config: &dyn Architecture,
    checkpoint: &Checkpoint,
    latents: [usize; 4],
    options: &DecodeOptions,
) -> Result<DecodeLayout, Error> {
    prepare(caps, config, checkpoint, latents, options).map(|(layout, _)| layout)
}

pub(super) fn prepare(
    caps: &Caps,
    config: &dyn Architecture,
    checkpoint: &Checkpoint,
    latents: [usize; 4],
    options: &DecodeOptions,
) -> Result<(DecodeLayout, Passes), Error> {
    let [channels, frames, height, width] = latents;
    if channels != config.channels() {
        return Err(VaeError::Channels {
            found: channels,
            expected: config.channels(),
        }
        .into());
    }
    let extent = Extent {
        frames,
        height,
        width,
    };
    let subject = Subject {
        network: NETWORK,
        scale: config.scale(),
        extent,
        halo: config.halos().first().copied().unwrap_or(height),
    };
    let prepared = choose(caps, subject, options, |chunk, band| {
        // A band that sees as much as a frame has is the whole frame.
        let lines = band.map(|band| BandLines::new(config, band, height));
        let lines = lines.filter(|lines| !lines.is_whole());
        let passes = Passes::record(caps, config, checkpoint, extent, chunk, lines.as_ref())?;
        let turns = match lines {
            // Frames are read back one by one.
            None => {
                let [_, side] = config.scale();
                let frame = (height * side * width * side * 3) as u64;
                let (memory, _) = taken(&passes.all(), |_| true);
                vec![(memory, frame.min(READ_PIECE))]
            }
            // The halves take turns.
            Some(_) => passes.halves().map(|half| taken(&half, |_| true)).into(),
        };
        Ok(Tried {
            band: band.filter(|_| lines.is_some()),
            turns,
            passes,
        })
    })?;
    if frames == 1 {
        // A single frame records no temporal convolution; record them here so that their weights do not
        // count as unread.
        passes::record(
            caps,
            config,
            checkpoint,
            Extent {
                frames: 1,
                ..extent
            },
            None,
            false,
        )?;
    }
    checkpoint.check_all_read(config.unread())?;
    Ok(prepared)
}
