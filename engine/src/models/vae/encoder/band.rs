//! Which latent lines' worth of pixels a band sees.
//!
//! The coarser a level, the more pixel lines a line is, so that hardly less would be computed if
//! lines were cut away between the levels: a band of the decoder is cut there, one of the encoder
//! only at the split, on the host.

/// The lines that bands of one height see, in latent lines: as many for every band, so that all
/// share one recording; those at an edge see more than they need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EncodeBand {
    band: usize,
    height: usize,
    halo: usize,
}

impl EncodeBand {
    /// Bands of `band` latent lines of `height`, which depend on `halo` more on either side.
    pub(super) fn new(band: usize, height: usize, halo: usize) -> Self {
        Self { band, height, halo }
    }

    /// Latent lines of a band.
    pub(super) fn band(&self) -> usize {
        self.band
    }

    /// Latent lines that a band sees.
    pub(super) fn seen(&self) -> usize {
        (self.band + 2 * self.halo).min(self.height)
    }

    /// Whether a band sees no less than a frame.
    pub(super) fn is_whole(&self) -> bool {
        self.seen() == self.height
    }

    /// The first latent line that the band sees which starts at line `top`.
    pub(super) fn first(&self, top: usize) -> usize {
        top.saturating_sub(self.halo).min(self.height - self.seen())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A band sees every line it needs.
    #[test]
    fn bands_see_what_they_need() {
        for height in [1, 2, 11, 12, 60, 90] {
            for halo in [1, 5] {
                for band in [1, 2, 7, 60] {
                    let lines = EncodeBand::new(band, height, halo);
                    for top in (0..height).step_by(band) {
                        let (first, bottom) = (lines.first(top), (top + band).min(height));
                        assert!(first <= top.saturating_sub(halo));
                        assert!(first + lines.seen() >= (bottom + halo).min(height));
                        assert!(first + lines.seen() <= height);
                    }
                }
            }
        }
    }
}
