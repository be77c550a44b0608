//! What chunks, bands and buffers need to know of a network that turns latents into pictures.

use std::fmt::Debug;

use super::bands::Crop;
use crate::error::Error;
use crate::nn::Weights;
use crate::ops::latents::Pixels;
use crate::record::{Recorder, Tensor};

/// The output of the layers before the first upsampling in space: the split point between the halves.
#[derive(Clone, Copy, Debug)]
pub struct Features {
    /// [T, h, w, C]: what is upsampled first.
    pub x: Tensor,
    /// [T, h, w, C']: what the first level's shortcut repeats, where levels have one (Wan 2.2).
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

    /// [2, C]: the deviations and means of what the latents were before they were normalised.
    fn statistics(&self) -> Vec<f32>;

    /// What the names of the checkpoint's tensors begin with that it has no use for.
    fn unread(&self) -> &'static [&'static str];

    /// Lines beyond a band, on either side, that its pixels depend on, at the end of each level that
    /// upsamples, in that level's lines. Each such level doubles height and width.
    fn halos(&self) -> Vec<usize>;

    /// How the values of the last layer become pixels.
    fn pixels(&self) -> Pixels;

    /// Latents [C, T, h, w] in f32 and `statistics` [2, C] to the split point between the halves, what is
    /// upsampled first. `first` says that the pass holds the first latent frame, and it alone.
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

    /// The split point to pixels as the last layer gives them, [T', H, W, 3 P²], each of its levels cut to
    /// what `crop` says.
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
