//! What CLIP sees of a picture.

use super::file::Picture;
use super::fit::pixels;
use super::resample::{Filter, resample, stretch_plain};

/// Mean and deviation of red, green and blue in what CLIP was trained on.
const MEAN: [f64; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const DEVIATION: [f64; 3] = [0.268_629_54, 0.261_302_58, 0.275_777_11];

/// How a picture of any shape becomes a square.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClipView {
    /// The shorter side at the square's, bicubic, and the middle of the longer: transformers'
    /// `CLIPImageProcessor` on Pillow, and so diffusers' pipelines.
    #[default]
    Crop,
    /// All of it, stretched by PyTorch's bicubic without antialiasing: Wan 2.1's release.
    Stretch,
}

/// A picture for CLIP: [side, side, 3], normalised. It is the picture as its file has it, not the one
/// that was fitted to the clip.
#[must_use]
pub fn clip_input(picture: &Picture, side: usize, view: ClipView) -> Vec<f32> {
    let own = [picture.width, picture.height];
    let colours: Vec<f32> = match view {
        ClipView::Crop => {
            let [short, long] = [own[0].min(own[1]), own[0].max(own[1])];
            // The reference cuts the longer side to whole pixels.
            let long = (side as f64 * long as f64 / short as f64) as usize;
            let scaled = match own[0] <= own[1] {
                true => [side, long],
                false => [long, side],
            };
            let rgb = resample(&picture.rgb, own, scaled, Filter::Bicubic);
            let [left, top] = scaled.map(|scaled| (scaled - side) / 2);
            let lines = rgb.chunks_exact(scaled[0] * 3).skip(top).take(side);
            let middle = lines.flat_map(|line| &line[left * 3..][..side * 3]);
            middle.map(|&value| f32::from(value) / 255.0).collect()
        }
        ClipView::Stretch => stretch_plain(&pixels(&picture.rgb), own, [side, side])
            .into_iter()
            .map(|value| value * 0.5 + 0.5)
            .collect(),
    };
    let statistics = MEAN.iter().zip(&DEVIATION).cycle();
    colours
        .iter()
        .zip(statistics)
        .map(|(value, (mean, deviation))| (value - *mean as f32) / *deviation as f32)
        .collect()
}
