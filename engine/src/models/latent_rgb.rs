//! Previews without a decoder: a linear map from each latent to one pixel.
//!
//! The map gives red, green and blue in -1..1 from a latent as the sampler has it, normalised. The
//! factors of the released models are those of stable-diffusion.cpp (`latent-preview.h`). The starter's
//! are a least-squares fit between the latents of 480 training clips and the mean colours of the pixels
//! under each latent; on the seventh of the clips that was held out, the error is 5 % of the colours'
//! spread.

use crate::weights::Latents;

/// Wan 2.1, and 2.2's A14B: one row a latent channel.
const WAN21: [[f32; 3]; 16] = [
    [0.015123, -0.148418, 0.479828],
    [0.003652, -0.01068, -0.037142],
    [0.212264, 0.063033, 0.016779],
    [0.232999, 0.406476, 0.220125],
    [-0.051864, -0.082384, -0.069396],
    [0.085005, -0.161492, 0.010689],
    [-0.245369, -0.506846, -0.11701],
    [-0.151145, 0.017721, 0.007207],
    [-0.293239, -0.207936, -0.421135],
    [-0.187721, 0.050783, 0.177649],
    [-0.013067, 0.265964, 0.166578],
    [0.028327, 0.109329, 0.108642],
    [-0.205343, 0.043991, 0.148914],
    [0.014307, -0.048647, -0.007219],
    [0.21715, 0.053074, 0.319923],
    [0.155357, 0.083156, 0.06478],
];
const WAN21_BIAS: [f32; 3] = [-0.27027, -0.234976, -0.456853];

/// Wan 2.2 TI2V-5B.
const WAN22: [[f32; 3]; 48] = [
    [0.017126, -0.02723, -0.019257],
    [-0.113739, -0.028715, -0.022885],
    [-0.000106, 0.021494, 0.004629],
    [-0.013273, -0.107137, -0.033638],
    [-0.000381, 0.000279, 0.025877],
    [-0.014216, -0.003975, 0.040528],
    [0.001638, -0.000748, 0.011022],
    [0.029238, -0.006697, 0.035933],
    [0.021641, -0.015874, 0.040531],
    [-0.101984, -0.07016, -0.028855],
    [0.033207, -0.021068, 0.002663],
    [-0.104711, 0.121673, 0.102981],
    [0.082647, -0.004991, 0.057237],
    [-0.027375, 0.031581, 0.006868],
    [-0.045434, 0.029444, 0.019287],
    [-0.046572, -0.012537, 0.006675],
    [0.074709, 0.03369, 0.025289],
    [-0.008251, -0.002745, -0.006999],
    [0.012685, -0.061856, -0.048658],
    [0.042304, -0.007039, 0.000295],
    [-0.007644, -0.060843, -0.033142],
    [0.159909, 0.045628, 0.367541],
    [0.095171, 0.086438, 0.010271],
    [0.006812, 0.019643, 0.029637],
    [0.003467, -0.010705, 0.014252],
    [-0.099681, -0.066272, -0.006243],
    [0.047357, 0.03704, 0.000185],
    [-0.041797, -0.089225, -0.032257],
    [0.008928, 0.017028, 0.018684],
    [-0.042255, 0.016045, 0.006849],
    [0.011268, 0.036462, 0.037387],
    [0.011553, -0.016375, -0.048589],
    [0.046266, -0.027189, 0.056979],
    [0.00964, -0.017576, 0.030324],
    [-0.045794, -0.036083, -0.010616],
    [0.022418, 0.039783, -0.032939],
    [-0.052714, -0.015525, 0.007438],
    [0.193004, 0.223541, 0.264175],
    [-0.059406, -0.008188, 0.022867],
    [-0.156742, -0.263791, -0.007385],
    [-0.015717, 0.01657, 0.033969],
    [0.037969, 0.109835, 0.200449],
    [-0.000782, -0.009566, -0.008058],
    [0.010709, 0.05296, -0.044195],
    [0.017271, 0.045839, 0.034569],
    [0.009424, 0.013088, -0.001714],
    [-0.024805, -0.059378, -0.033756],
    [-0.078293, 0.02907, 0.026129],
];
const WAN22_BIAS: [f32; 3] = [0.01316, -0.096492, -0.071323];

/// The starter model.
const STARTER: [[f32; 3]; 32] = [
    [0.430567, 0.120409, 0.0318],
    [0.084685, 0.282722, 0.078404],
    [0.028557, 0.059063, 0.326365],
    [-0.000542, 0.010371, 0.006048],
    [-0.005349, -0.003043, -0.001195],
    [0.00075, 0.003783, 0.000907],
    [0.000332, 0.000034, 0.001565],
    [0.00531, -0.001173, 0.001779],
    [0.001317, 0.001665, -0.000063],
    [-0.00613, 0.002977, 0.001118],
    [-0.004475, -0.006188, -0.004632],
    [-0.002911, 0.000791, -0.002853],
    [0.000766, 0.003172, 0.001519],
    [0.007937, 0.000613, -0.005909],
    [-0.004566, 0.002693, 0.001913],
    [0.004851, -0.002648, -0.000967],
    [-0.00166, 0.000004, -0.001719],
    [0.004349, 0.003024, 0.001659],
    [0.001896, -0.011334, -0.0095],
    [-0.002376, 0.000254, 0.001197],
    [0.001445, 0.005825, 0.004302],
    [-0.003884, -0.002463, 0.005365],
    [0.005622, -0.005907, -0.000895],
    [0.011747, 0.001246, -0.000411],
    [-0.001137, -0.000513, -0.000325],
    [0.003975, 0.000693, 0.001917],
    [0.000601, -0.000282, -0.003122],
    [-0.001819, -0.001532, -0.002818],
    [0.002003, 0.00128, 0.001103],
    [-0.000697, 0.000045, -0.000519],
    [-0.00289, -0.002535, -0.004013],
    [-0.0023, -0.000878, -0.003213],
];
const STARTER_BIAS: [f32; 3] = [-0.000645, -0.071105, -0.103181];

/// The map for latents of one autoencoder.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LatentRgb {
    matrix: &'static [[f32; 3]],
    bias: [f32; 3],
}

impl LatentRgb {
    /// The map for latents of this many channels: 16 or 48, as in the released models, or the starter's
    /// 32.
    pub fn of(channels: usize) -> Option<Self> {
        let known = [
            (&WAN21[..], WAN21_BIAS),
            (&WAN22[..], WAN22_BIAS),
            (&STARTER[..], STARTER_BIAS),
        ];
        let found = known.into_iter().find(|(rows, _)| rows.len() == channels);
        found.map(|(matrix, bias)| Self { matrix, bias })
    }

    /// Red, green and blue of each latent of frame `t`: `[h, w, 3]`, 0 black and 1 white, not
    /// clamped. Returns grey if the channel count does not match or `t` is out of range.
    pub fn frame(&self, latents: &Latents, t: usize) -> Vec<f32> {
        let [_, channels, frames, h, w] = latents.shape;
        let area = h * w;
        let mut rgb: Vec<f32> = self.bias.repeat(area);
        for (channel, row) in self.matrix.iter().enumerate().take(channels) {
            let start = (channel * frames + t) * area;
            let plane = latents.values.get(start..start + area).unwrap_or(&[]);
            for (pixel, value) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(plane) {
                for (colour, factor) in pixel.iter_mut().zip(row) {
                    *colour += factor * value;
                }
            }
        }
        for colour in &mut rgb {
            *colour = *colour * 0.5 + 0.5;
        }
        rgb
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// A latent of one channel is that channel's row, in the frame and at the place where it lies.
    #[test]
    fn each_channel_has_its_colour() {
        for (channels, row, bias) in [
            (16, WAN21[3], WAN21_BIAS),
            (48, WAN22[3], WAN22_BIAS),
            (32, STARTER[3], STARTER_BIAS),
        ] {
            let (frames, h, w) = (3, 2, 5);
            let mut values = vec![0.0; channels * frames * h * w];
            let (channel, t, place) = (3, 1, 7);
            values[(channel * frames + t) * h * w + place] = 2.0;
            let latents = Latents {
                shape: [1, channels, frames, h, w],
                values,
                metadata: BTreeMap::new(),
            };
            let colours = LatentRgb::of(channels).unwrap();
            for at in 0..frames {
                let found = colours.frame(&latents, at);
                for (pixel, found) in found.as_chunks::<3>().0.iter().enumerate() {
                    let share = if (at, pixel) == (t, place) { 2.0 } else { 0.0 };
                    let expected = [0, 1, 2].map(|c| (bias[c] + share * row[c]) / 2.0 + 0.5);
                    let near = (0..3).all(|c| (found[c] - expected[c]).abs() < 1e-6);
                    assert!(near, "{found:?}, expected {expected:?}");
                }
            }
        }
        assert_eq!(LatentRgb::of(8), None);
    }
}
