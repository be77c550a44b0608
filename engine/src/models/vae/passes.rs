//! The recordings of a decode: the first latent frame, a chunk of later ones, what remains.

use std::collections::BTreeMap;

use super::architecture::{Architecture, Features};
use super::bands::{BandLines, Crop};
use crate::error::Error;
use crate::nn::Weights;
use crate::ops::latents::rgb8;
use crate::record::{Caps, Kind, Recorder, Recording};
use crate::tensor::DType;
use crate::weights::Checkpoint;

/// Names of the tensors that cross from the host or between recordings.
pub(super) const LATENTS: &str = "latents";
pub(super) const STATISTICS: &str = "latent statistics";
pub(super) const FEATURES: &str = "features";
pub(super) const SHORTCUT: &str = "shortcut";
pub(super) const BAND_STARTS: &str = "band starts";
pub(super) const RGB: &str = "rgb";

/// Extents of a video's latents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) frames: usize,
    pub(super) height: usize,
    pub(super) width: usize,
}

/// Consecutive latent frames that are decoded by one run of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    /// The first of them.
    pub(super) start: usize,
    pub(super) frames: usize,
    /// Which of the passes of [`Passes`].
    pub(super) pass: usize,
}

/// The first latent frame by itself, then full chunks, then the rest.
pub(super) fn chunks(frames: usize, chunk: usize) -> Vec<Chunk> {
    let mut all = Vec::new();
    let mut start = 0;
    let sizes = sizes(frames, chunk);
    while start < frames {
        let frames = if start == 0 {
            1
        } else {
            chunk.min(frames - start)
        };
        // The first frame is a pass of its own even where chunks have one frame.
        let later = sizes
            .iter()
            .skip(1)
            .position(|&size| size == frames)
            .map_or(0, |at| at + 1);
        all.push(Chunk {
            start,
            frames,
            pass: if start == 0 { 0 } else { later },
        });
        start += frames;
    }
    all
}

/// Latent frames of each pass: the first one, a chunk, the remainder.
pub(super) fn sizes(frames: usize, chunk: usize) -> Vec<usize> {
    let later = frames.saturating_sub(1);
    let mut sizes = vec![1];
    if later >= chunk {
        sizes.push(chunk);
    }
    if !later.is_multiple_of(chunk) {
        sizes.push(later % chunk);
    }
    sizes
}

/// Every recording of a decode.
#[derive(Clone, Debug)]
pub(super) struct Passes {
    /// Latents to the split, by pass.
    pub(super) heads: Vec<Recording>,
    /// The split point to bytes, by pass.
    pub(super) tails: Vec<Recording>,
    /// Recordings that clear the states of the heads and of the tails.
    pub(super) forget: [Recording; 2],
}

impl Passes {
    /// Records the passes of a video whose second half sees whole frames, or bands of lines.
    pub(super) fn record(
        caps: &Caps,
        config: &dyn Architecture,
        checkpoint: &Checkpoint,
        extent: Extent,
        chunk: usize,
        bands: Option<&BandLines>,
    ) -> Result<Self, Error> {
        let mut passes = Self {
            heads: Vec::new(),
            tails: Vec::new(),
            forget: Default::default(),
        };
        for (index, frames) in sizes(extent.frames, chunk).into_iter().enumerate() {
            let (head, tail) = record(
                caps,
                config,
                checkpoint,
                Extent { frames, ..extent },
                bands,
                index == 0,
            )?;
            passes.heads.push(head);
            passes.tails.push(tail);
        }
        passes.forget = [forget(caps, &passes.heads)?, forget(caps, &passes.tails)?];
        Ok(passes)
    }

    /// All of them: heads, tails, those that forget.
    pub(super) fn all(&self) -> Vec<&Recording> {
        let halves = self.heads.iter().chain(&self.tails);
        halves.chain(&self.forget).collect()
    }

    /// The recordings of each half: its passes, then the one that clears its states.
    pub(super) fn halves(&self) -> [Vec<&Recording>; 2] {
        let [heads, tails] = &self.forget;
        [
            self.heads.iter().chain([heads]).collect(),
            self.tails.iter().chain([tails]).collect(),
        ]
    }
}

/// The two halves over `extent.frames` latent frames, the second over whole ones or over bands.
pub(super) fn record(
    caps: &Caps,
    config: &dyn Architecture,
    checkpoint: &Checkpoint,
    extent: Extent,
    bands: Option<&BandLines>,
    first: bool,
) -> Result<(Recording, Recording), Error> {
    let Extent {
        frames,
        height,
        width,
    } = extent;
    let weights = Weights::new(checkpoint);
    let channels = config.channels();
    let mut rec = Recorder::new(caps);
    let latents = rec.input(LATENTS, [channels, frames, height, width], DType::F32)?;
    let statistics = rec.input(STATISTICS, [2, channels], DType::F32)?;
    let split = config.head(&mut rec, &weights, &latents, &statistics, first)?;
    for (name, x) in [(FEATURES, Some(split.x)), (SHORTCUT, split.shortcut)] {
        if let Some(x) = x {
            let out = rec.output(name, x.shape, x.dtype)?;
            rec.copy((&x, 0), (&out, 0), x.bytes());
        }
    }
    let head = rec.finish();

    let mut rec = Recorder::new(caps);
    let rows = bands.map_or(height, BandLines::seen);
    let mut input =
        |name: &str, channels: usize| rec.input(name, [frames, rows, width, channels], DType::F32);
    let x = input(FEATURES, split.x.shape.last_dim())?;
    let shortcut = split
        .shortcut
        .map(|s| input(SHORTCUT, s.shape.last_dim()))
        .transpose()?;
    let crop = match bands {
        None => None,
        Some(lines) => {
            let starts = rec.input(BAND_STARTS, [lines.levels()], DType::U32)?;
            Some(Crop::new(lines, starts))
        }
    };
    let features = Features { x, shortcut };
    let pixels = config.tail(&mut rec, &weights, &features, crop.as_ref(), first)?;
    let words = pixels.shape.count().div_ceil(4);
    let rgb = rec.output(RGB, [words], DType::U32)?;
    rgb8(&mut rec, &pixels, config.pixels(), Some(&rgb))?;
    Ok((head, rec.finish()))
}

/// A recording that clears every state of others.
pub(super) fn forget(caps: &Caps, recordings: &[Recording]) -> Result<Recording, Error> {
    let mut states = BTreeMap::new();
    for (_, info) in recordings.iter().flat_map(Recording::iter) {
        if info.kind == Kind::State {
            states.insert(&info.name, info);
        }
    }
    let mut rec = Recorder::new(caps);
    for info in states.into_values() {
        let state = rec.state(&info.name, info.shape, info.dtype)?;
        rec.clear(&state);
    }
    Ok(rec.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_latent_frame_is_a_pass_of_its_own() {
        let plan = |frames, chunk| -> Vec<(usize, usize, usize)> {
            chunks(frames, chunk)
                .iter()
                .map(|c| (c.start, c.frames, c.pass))
                .collect()
        };
        assert_eq!(plan(1, 4), [(0, 1, 0)]);
        assert_eq!(plan(3, 1), [(0, 1, 0), (1, 1, 1), (2, 1, 1)]);
        assert_eq!(plan(8, 3), [(0, 1, 0), (1, 3, 1), (4, 3, 1), (7, 1, 2)]);
        assert_eq!(plan(3, 5), [(0, 1, 0), (1, 2, 1)]);
        for (frames, chunk) in [(1, 4), (3, 1), (8, 3), (3, 5), (9, 4)] {
            let sizes = sizes(frames, chunk);
            assert!(
                chunks(frames, chunk)
                    .iter()
                    .all(|c| sizes[c.pass] == c.frames)
            );
        }
    }
}
