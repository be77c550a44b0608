//! The interface of a decoder network that chunks, bands and buffers rely on.

use std::fmt::Debug;

use super::bands::Crop;
use crate::error::Error;
use crate::nn::Weights;
use crate::ops::latents::Pixels;
use crate::record::{Recorder, Tensor};

/// The features at the split point: the output of the layers before the first upsampling in space.
#[derive(Clone, Copy, Debug)]
pub struct Features {
    /// [T, h, w, C]: the input of the first upsampling.
    pub x: Tensor,
    /// [T, h, w, C']: the input of the first level's shortcut, in networks with shortcuts (Wan 2.2).
    pub shortcut: Option<Tensor>,
}

/// A decoder that is causal in time and whose second half can be cut into bands of lines.
///
/// The first latent frame of a video gives one frame of pixels, every later one as many as the
/// temporal scale.
pub trait Architecture: Debug + Send + Sync {
    /// Channels of its latents.
    fn channels(&self) -> usize;

    /// Frames of a latent frame after the first, pixels of a latent along a side.
    fn scale(&self) -> [usize; 2];

    /// [2, C]: the deviations and means of the latents before normalisation.
    fn statistics(&self) -> Vec<f32>;

    /// Prefixes of the checkpoint's tensors that the decoder does not use.
    fn unread(&self) -> &'static [&'static str];

    /// How many lines beyond a band, on either side, its pixels depend on at the end of each upsampling
    /// level, in that level's lines. Each such level doubles height and width.
    fn halos(&self) -> Vec<usize>;

    /// How the values of the last layer become pixels.
    fn pixels(&self) -> Pixels;

    /// Records the first half, from latents [C, T, h, w] in f32 and `statistics` [2, C] to the split
    /// point. `first` means that the pass holds only the first latent frame.
    ///
    /// # Errors
    /// Weights that are missing or of another shape, tensors larger than the device allows.
    fn head(
        &self,
        rec: &mut Recorder<'_>,
        weights: &Weights<'_>,
        latents: &Tensor,
        statistics: &Tensor,
        first: bool,
    ) -> Result<Features, Error>;

    /// Records the second half, from the split point to the last layer's pixels [T', H, W, 3 P²]. `crop`
    /// cuts each level to the lines of a band.
    ///
    /// # Errors
    /// As [`Architecture::head`].
    fn tail(
        &self,
        rec: &mut Recorder<'_>,
        weights: &Weights<'_>,
        features: &Features,
        crop: Option<&Crop>,
        first: bool,
    ) -> Result<Tensor, Error>;
}
