//! How a video is cut into chunks of frames and bands of lines so that its decode or encode fits.

use super::passes::Extent;
use crate::error::{Error, RecordError, VaeError};
use crate::gpu::READ_PIECE;
use crate::record::{Caps, Footprint, Kind, Recording};

/// Whether the decoder or encoder works in bands of lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bands {
    /// Where whole frames do not fit.
    #[default]
    Auto,
    /// Never.
    Off,
    /// Always, with this many latent lines each.
    Lines(usize),
}

/// How to decode, or to encode. None of it changes the picture or the latents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecodeOptions {
    /// Latent frames at a time, after the first; chosen by the size of the picture unless given.
    pub chunk: Option<usize>,
    /// Bands of lines.
    pub bands: Bands,
    /// Bytes of device memory that may be used; as many as there are unless given.
    pub max_bytes: Option<u64>,
}

/// The layout of a decode or encode, and its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLayout {
    /// Latent frames at a time, after the first.
    pub chunk: usize,
    /// Latent lines of a band; `None` takes whole frames.
    pub band: Option<usize>,
    /// Device memory, without what reading results back takes: of the larger half of the network
    /// where bands let the halves take turns.
    pub memory: Footprint,
    /// Bytes that results are read back through.
    pub read_back: u64,
}

impl DecodeLayout {
    /// Bytes of device memory that it takes.
    pub fn peak_bytes(&self) -> u64 {
        self.memory.total() + self.read_back
    }
}

/// What recordings take that are on the device together, and what those of their outputs are read
/// back through which `is_read` names.
pub(super) fn taken(recordings: &[&Recording], is_read: impl Fn(&str) -> bool) -> (Footprint, u64) {
    let tensors = recordings.iter().flat_map(|recording| recording.iter());
    let outputs =
        tensors.filter(|(_, info)| info.kind == Kind::Output && is_read(info.name.as_str()));
    let longest = outputs.map(|(_, info)| info.bytes()).max().unwrap_or(0);
    let footprint = Footprint::of(recordings.iter().copied());
    (footprint, longest.min(READ_PIECE))
}

/// Pixels of a chunk's frames at which more frames at a time stop paying.
const CHUNK_PIXELS: usize = 1 << 20;

/// Latent frames at a time unless given: small pictures need several to fill a device.
pub(super) fn default_chunk([frames, side]: [usize; 2], extent: Extent) -> usize {
    let pixels = extent.height * side * extent.width * side * frames;
    (CHUNK_PIXELS / pixels.max(1)).clamp(1, 8)
}

/// The recordings of a candidate layout.
pub(super) struct Tried<P> {
    /// Latent lines of a band; `None` where one would see the whole frame.
    pub(super) band: Option<usize>,
    /// The footprints that are on the device one after the other, each with its staging for reads.
    pub(super) turns: Vec<(Footprint, u64)>,
    pub(super) passes: P,
}

/// Which of the autoencoder's networks is laid out, for which video.
#[derive(Clone, Copy)]
pub(super) struct Subject {
    /// "decoder" or "encoder".
    pub(super) network: &'static str,
    /// Frames of a latent frame after the first, pixels of a latent along a side.
    pub(super) scale: [usize; 2],
    /// Of the latents.
    pub(super) extent: Extent,
    /// Latent lines beyond a band that it depends on.
    pub(super) halo: usize,
}

/// Chooses the layout: whole frames in the largest chunk that fits, else bands, the widest that
/// fit. `record` makes the recordings of a chunk of latent frames and a band of latent lines.
///
/// # Errors
/// A size or option of zero, what `record` returns, and [`VaeError::DoesNotFit`] or the recording's
/// own error where not even one line fits.
pub(super) fn choose<P>(
    caps: &Caps,
    subject: Subject,
    options: &DecodeOptions,
    mut record: impl FnMut(usize, Option<usize>) -> Result<Tried<P>, Error>,
) -> Result<(DecodeLayout, P), Error> {
    let Subject {
        network,
        scale,
        extent,
        ..
    } = subject;
    let mut refused: Option<Error> = None;
    for (chunk, band) in candidates(subject, options)? {
        let tried = match record(chunk, band) {
            Ok(tried) => tried,
            Err(Error::Record(reason @ RecordError::BindingTooLarge { .. })) => {
                refused = Some(reason.into());
                continue;
            }
            Err(error) => return Err(error),
        };
        let bytes = |(memory, read_back): &(Footprint, u64)| memory.total() + read_back;
        let largest = tried.turns.iter().copied().max_by_key(bytes);
        let (memory, read_back) = largest.unwrap_or_default();
        let total = memory.total() + read_back;
        let available = options.max_bytes.unwrap_or(u64::MAX);
        if total > available || memory.largest_buffer > caps.max_buffer_bytes {
            let (needed, available) = if total > available {
                (total, available)
            } else {
                (memory.largest_buffer, caps.max_buffer_bytes)
            };
            refused = Some(
                VaeError::DoesNotFit {
                    network,
                    width: extent.width * scale[1],
                    height: extent.height * scale[1],
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
                band: tried.band,
                memory,
                read_back,
            },
            tried.passes,
        ));
    }
    // There is always a candidate, and it either fits or leaves its reason.
    Err(refused.unwrap_or_else(|| {
        let name = "the number of layouts";
        VaeError::Zero { network, name }.into()
    }))
}

/// Latent frames at a time and latent lines of a band, in the order in which they are tried.
fn candidates(
    subject: Subject,
    options: &DecodeOptions,
) -> Result<Vec<(usize, Option<usize>)>, VaeError> {
    let Subject {
        network,
        scale,
        extent,
        halo,
    } = subject;
    let band_lines = match options.bands {
        Bands::Lines(lines) => lines,
        Bands::Auto | Bands::Off => 1,
    };
    for (name, size) in [
        ("the number of latent frames", extent.frames),
        ("the latent height", extent.height),
        ("the latent width", extent.width),
        (
            "the number of latent frames at a time",
            options.chunk.unwrap_or(1),
        ),
        ("the number of latent lines of a band", band_lines),
    ] {
        if size == 0 {
            return Err(VaeError::Zero { network, name });
        }
    }
    let chunk = options
        .chunk
        .unwrap_or_else(|| default_chunk(scale, extent));
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
        let mut band = extent.height.saturating_sub(halo);
        while band > 1 {
            band = (band * 3 / 4).max(1);
            candidates.push((smallest, Some(band)));
        }
    }
    Ok(candidates)
}
