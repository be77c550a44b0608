//! The lines of each level that a band of latent lines needs.
//!
//! A level needs as many extra lines as the convolutions after it reach. At finer levels these span
//! fewer latent lines, so the lines that only a level's own convolutions need are cropped before the
//! next upsampling.

use super::architecture::Architecture;
use crate::error::Error;
use crate::ops::frames::crop_lines;
use crate::record::{Recorder, Tensor};

/// The lines that bands of one height see at the end of each level that upsamples: as many for
/// every band, so that all share one recording; those at an edge see more than they need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BandLines {
    /// Latent lines of a band.
    band: usize,
    /// Latent lines of a frame.
    height: usize,
    /// Of each level, in its own lines, twice the level's before.
    kept: Vec<usize>,
    halos: Vec<usize>,
}

impl BandLines {
    pub(super) fn new(config: &dyn Architecture, band: usize, height: usize) -> Self {
        let halos = config.halos();
        let kept = halos.iter().enumerate().map(|(level, halo)| {
            let lines = band.min(height) << level;
            (lines + 2 * halo).min(height << level)
        });
        Self {
            band,
            height,
            kept: kept.collect(),
            halos,
        }
    }

    /// Latent lines of a band.
    pub(super) fn band(&self) -> usize {
        self.band
    }

    /// Levels that upsample.
    pub(super) fn levels(&self) -> usize {
        self.kept.len()
    }

    /// Latent lines that the second half of the network sees.
    pub(super) fn seen(&self) -> usize {
        self.kept.first().copied().unwrap_or(self.height)
    }

    /// Whether a band sees no less than a frame.
    pub(super) fn is_whole(&self) -> bool {
        let lines = self.kept.iter().enumerate();
        lines.fold(true, |whole, (level, &kept)| {
            whole && kept == self.height << level
        })
    }

    /// Where the lines of each level start in the frame, for the band that starts at latent line
    /// `top`.
    fn starts(&self, top: usize) -> Vec<usize> {
        let levels = self.kept.iter().zip(&self.halos).enumerate();
        levels
            .map(|(level, (&kept, &halo))| {
                let first = (top << level).saturating_sub(halo);
                first.min((self.height << level) - kept)
            })
            .collect()
    }

    /// The first latent line that a band sees.
    pub(super) fn first(&self, top: usize) -> usize {
        self.starts(top).first().copied().unwrap_or(0)
    }

    /// How far into the level's lines those begin that are kept at its end: what
    /// [`Crop::starts`] holds for a band. The first level's are cut on the host.
    pub(super) fn crops(&self, top: usize) -> Vec<u32> {
        let starts = self.starts(top);
        let before = [0].into_iter().chain(starts.iter().map(|start| 2 * start));
        let crops = starts.iter().zip(before);
        crops
            .map(|(start, before)| start.saturating_sub(before) as u32)
            .collect()
    }

    /// Lines of pixels, before they are patches, that a pass over a band gives, and which of them is
    /// the band's first.
    pub(super) fn made(&self, top: usize) -> (usize, usize) {
        let levels = self.kept.len();
        let made = self.kept.last().map_or(self.height, |kept| 2 * kept);
        let start = self.starts(top).last().map_or(0, |start| 2 * start);
        (made, (top << levels).saturating_sub(start))
    }
}

/// Where a recording of a band leaves lines out.
#[derive(Clone, Debug)]
pub struct Crop {
    /// By level: how many lines are kept at its end.
    pub(super) kept: Vec<usize>,
    /// By level: which is the first of them, `[L]` u32.
    pub(super) starts: Tensor,
}

impl Crop {
    /// The inputs of a recording of such bands.
    pub(super) fn new(lines: &BandLines, starts: Tensor) -> Self {
        Self {
            kept: lines.kept.clone(),
            starts,
        }
    }

    /// The lines of `x` that are kept at the end of a level, all at the last.
    pub(crate) fn apply(
        &self,
        rec: &mut Recorder<'_>,
        level: usize,
        x: &Tensor,
    ) -> Result<Tensor, Error> {
        match self.kept.get(level) {
            None => Ok(*x),
            Some(&kept) => Ok(crop_lines(rec, x, &self.starts, level, kept)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::config::VaeConfig;
    use crate::models::vae::halos;

    /// A band sees every line it needs at every level.
    #[test]
    fn bands_see_what_they_need() {
        let wan21 = VaeConfig::parse("config.json", br#"{"_class_name": "AutoencoderKLWan"}"#);
        let wan21 = wan21.unwrap();
        for height in [1, 2, 7, 15, 60, 90] {
            for band in [1, 2, 3, 5, 8, 16, 60] {
                let lines = BandLines::new(&wan21, band, height);
                for top in (0..height).step_by(band) {
                    let starts = lines.starts(top);
                    let bottom = (top + band).min(height);
                    for (level, halo) in halos(&wan21).into_iter().enumerate() {
                        let (start, kept) = (starts[level], lines.kept[level]);
                        let frame = height << level;
                        assert!(start + kept <= frame);
                        assert!(start <= (top << level).saturating_sub(halo));
                        assert!(start + kept >= ((bottom << level) + halo).min(frame));
                        if level > 0 {
                            // Cropped from the output of the previous level.
                            let before = 2 * starts[level - 1];
                            assert!(start >= before, "{height} {band} {top} {level}");
                            assert!(start + kept <= before + 2 * lines.kept[level - 1]);
                        }
                    }
                    let (made, first) = lines.made(top);
                    assert!(first + ((bottom - top) << 3) <= made);
                }
            }
        }
    }
}
