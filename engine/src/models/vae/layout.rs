//! How a video is cut into chunks of frames and bands of lines so that its decode fits.

use super::architecture::Architecture;
use super::bands::BandLines;
use super::passes::{Extent, Passes};
use crate::error::{Error, RecordError, VaeError};
use crate::gpu::READ_PIECE;
use crate::record::{Caps, Footprint, Kind, Recording};
use crate::weights::Checkpoint;

/// Whether the decoder works in bands of lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bands {
    /// Where whole frames do not fit.
    #[default]
    Auto,
    /// Never.
    Off,
    /// Always, of so many latent lines.
    Lines(usize),
}

/// How to decode. None of it changes the picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecodeOptions {
    /// Latent frames at a time, after the first; chosen by the size of the picture unless given.
    pub chunk: Option<usize>,
    /// Bands of lines.
    pub bands: Bands,
    /// Bytes of device memory that may be used; as many as there are unless given.
    pub max_bytes: Option<u64>,
}

/// How a video will be decoded, and what that takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLayout {
    /// Latent frames at a time, after the first.
    pub chunk: usize,
    /// Latent lines of a band; `None` decodes whole frames.
    pub band: Option<usize>,
    /// Device memory, without what reading results back takes: of the larger half of the network
    /// where bands let the halves take turns.
    pub memory: Footprint,
    /// Bytes that results are read back through.
    pub read_back: u64,
}

impl DecodeLayout {
    /// Bytes of device memory that the decode takes.
    pub fn peak_bytes(&self) -> u64 {
        self.memory.total() + self.read_back
    }
}

/// What recordings take that are on the device together, and what results are read back through.
fn taken(recordings: &[&Recording]) -> (Footprint, u64) {
    let tensors = recordings.iter().flat_map(|recording| recording.iter());
    let outputs = tensors.filter(|(_, info)| info.kind == Kind::Output);
    let longest = outputs.map(|(_, info)| info.bytes()).max().unwrap_or(0);
    let footprint = Footprint::of(recordings.iter().copied());
    (footprint, longest.min(READ_PIECE))
}

/// Pixels of a chunk's frames at which more frames at a time stop paying.
const CHUNK_PIXELS: usize = 1 << 20;

/// Latent frames at a time unless given: small pictures need several to fill a device.
fn default_chunk(config: &dyn Architecture, extent: Extent) -> usize {
    let [frames, side] = config.scale();
    let pixels = extent.height * side * extent.width * side * frames;
    (CHUNK_PIXELS / pixels.max(1)).clamp(1, 8)
}

/// Chooses the layout: whole frames in the largest chunk that fits, else bands, the widest that
/// fit.
///
/// # Errors
/// A size or option of zero, weights that are missing or of another shape, and
/// [`VaeError::DoesNotFit`] or the recording's own error where not even one line fits.
pub(super) fn choose(
    caps: &Caps,
    config: &dyn Architecture,
    checkpoint: &Checkpoint,
    extent: Extent,
    options: &DecodeOptions,
) -> Result<(DecodeLayout, Passes), Error> {
    let Extent {
        frames,
        height,
        width,
    } = extent;
    let band_lines = match options.bands {
        Bands::Lines(lines) => lines,
        Bands::Auto | Bands::Off => 1,
    };
    for (name, size) in [
        ("the number of latent frames", frames),
        ("the latent height", height),
        ("the latent width", width),
        (
            "the number of latent frames at a time",
            options.chunk.unwrap_or(1),
        ),
        ("the number of latent lines of a band", band_lines),
    ] {
        if size == 0 {
            return Err(VaeError::Zero { name }.into());
        }
    }
    let halo = config.halos().first().copied().unwrap_or(height);
    let chunk = options
        .chunk
        .unwrap_or_else(|| default_chunk(config, extent));
    let mut candidates = Vec::new();
    match options.bands {
        Bands::Lines(band) => candidates.push((chunk, Some(band))),
        Bands::Off | Bands::Auto => candidates.push((chunk, None)),
    }
    if options.chunk.is_none() && chunk > 1 {
        candidates.extend(candidates.first().map(|&(_, band)| (1, band)));
    }
    if options.bands == Bands::Auto {
        let smallest = options.chunk.unwrap_or(1);
        let mut band = height.saturating_sub(halo);
        while band > 1 {
            band = (band * 3 / 4).max(1);
            candidates.push((smallest, Some(band)));
        }
    }
    let mut refused: Option<Error> = None;
    for (chunk, band) in candidates {
        // A band that sees as much as a frame has is the whole frame.
        let lines = band.map(|band| BandLines::new(config, band, height));
        let lines = lines.filter(|lines| !lines.is_whole());
        let band = band.filter(|_| lines.is_some());
        let passes = Passes::record(caps, config, checkpoint, extent, chunk, lines.as_ref());
        let passes = match passes {
            Ok(passes) => passes,
            Err(Error::Record(reason @ RecordError::BindingTooLarge { .. })) => {
                refused = Some(reason.into());
                continue;
            }
            Err(error) => return Err(error),
        };
        let (memory, read_back) = match lines {
            // Frames are read back one by one.
            None => {
                let [_, side] = config.scale();
                let frame = (height * side * width * side * 3) as u64;
                let (memory, _) = taken(&passes.all());
                (memory, frame.min(READ_PIECE))
            }
            // The halves take turns.
            Some(_) => {
                let [head, tail] = passes.halves().map(|half| taken(&half));
                let bytes = |(memory, read_back): (Footprint, u64)| memory.total() + read_back;
                match bytes(head) > bytes(tail) {
                    true => head,
                    false => tail,
                }
            }
        };
        let total = memory.total() + read_back;
        let available = options.max_bytes.unwrap_or(u64::MAX);
        let [_, side] = config.scale();
        let size = (width * side, height * side);
        if total > available || memory.largest_buffer > caps.max_buffer_bytes {
            let (needed, available) = match total > available {
                true => (total, available),
                false => (memory.largest_buffer, caps.max_buffer_bytes),
            };
            refused = Some(
                VaeError::DoesNotFit {
                    width: size.0,
                    height: size.1,
                    needed,
                    available,
                }
                .into(),
            );
            continue;
        }
        return Ok((
            DecodeLayout {
                chunk,
                band,
                memory,
                read_back,
            },
            passes,
        ));
    }
    // There is always a candidate, and it either fits or leaves its reason.
    Err(refused.unwrap_or_else(|| {
        VaeError::Zero {
            name: "the number of layouts",
        }
        .into()
    }))
}
