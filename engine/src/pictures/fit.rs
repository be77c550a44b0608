//! Pictures at the size of a clip, and the size that a clip takes from a picture.

use super::file::Picture;
use super::resample::{Filter, resample};

/// How a picture of another shape becomes one of the clip's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fit {
    /// It fills the clip, and what sticks out is cut off on both sides: as Wan 2.2 TI2V-5B's release.
    #[default]
    Cover,
    /// All of it is seen, between bars of black.
    Contain,
    /// It is stretched to the clip's shape: as diffusers' pipelines.
    Stretch,
}

impl Fit {
    /// All of them, under their names.
    pub const ALL: [(&'static str, Self); 3] = [
        ("cover", Self::Cover),
        ("contain", Self::Contain),
        ("stretch", Self::Stretch),
    ];

    /// The one of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, fit)| *fit)
    }

    /// Its name in requests and metadata.
    #[must_use]
    pub fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, fit)| *fit == self);
        found.map_or("", |(name, _)| name)
    }
}

impl Picture {
    /// The picture at `size` [width, height], resampled by Pillow's Lanczos.
    #[must_use]
    pub fn fitted(&self, size: [usize; 2], fit: Fit) -> Self {
        let own = [self.width, self.height];
        let ratios = [0, 1].map(|side| size[side] as f64 / own[side] as f64);
        let scaled = match fit {
            Fit::Stretch => size,
            Fit::Cover => own.map(|side| round_even(side as f64 * ratios[0].max(ratios[1]))),
            Fit::Contain => own.map(|side| round_even(side as f64 * ratios[0].min(ratios[1]))),
        };
        let scaled = scaled.map(|side| side.max(1));
        let rgb = resample(&self.rgb, own, scaled, Filter::Lanczos);
        let [width, height] = size;
        if scaled == size {
            return Self { width, height, rgb };
        }
        // A negative margin is a bar of black.
        let margin = [0, 1].map(|side| (scaled[side] as i64 - size[side] as i64) / 2);
        let mut placed = vec![0; width * height * 3];
        for (line, out) in placed.chunks_exact_mut(width * 3).enumerate() {
            let from = line as i64 + margin[1];
            let Some(from) = usize::try_from(from).ok().filter(|&at| at < scaled[1]) else {
                continue;
            };
            let row = &rgb[from * scaled[0] * 3..][..scaled[0] * 3];
            let (into, skipped) = match usize::try_from(margin[0]) {
                Ok(skipped) => (0, skipped),
                Err(_) => ((-margin[0]) as usize, 0),
            };
            let count = (scaled[0] - skipped).min(width - into) * 3;
            out[into * 3..][..count].copy_from_slice(&row[skipped * 3..][..count]);
        }
        Self {
            width,
            height,
            rgb: placed,
        }
    }
}

/// Python's `round`: halves to even numbers.
fn round_even(value: f64) -> usize {
    value.round_ties_even() as usize
}

/// Pixels in [-1, 1], as diffusers' `VaeImageProcessor` makes them of 8 bits.
#[must_use]
pub fn pixels(rgb: &[u8]) -> Vec<f32> {
    rgb.iter()
        .map(|&value| 2.0 * (f32::from(value) / 255.0) - 1.0)
        .collect()
}

/// The size [width, height] of a clip that starts from a picture of the size `own`: sides that are
/// multiples of `multiple`, of no more pixels than `area` has, and the picture's shape as nearly as
/// one side at its longest allows: `best_output_size` of Wan 2.2's release, which TI2V-5B uses with
/// multiples of 32 and an area of 704 × 1280. No side is shorter than one multiple.
#[must_use]
pub fn best_size(own: [usize; 2], multiple: usize, area: usize) -> [usize; 2] {
    let ratio = own[0] as f64 / own[1] as f64;
    let whole = |side: f64| ((side / multiple as f64) as usize).max(1) * multiple;
    let longest = |side: usize| whole(area as f64 / side as f64);
    let width = whole((area as f64 * ratio).sqrt());
    let wide_first = [width, longest(width)];
    let height = whole(area as f64 / (area as f64 * ratio).sqrt());
    let high_first = [longest(height), height];
    let off = |[width, height]: [usize; 2]| {
        let found = width as f64 / height as f64;
        (ratio / found).max(found / ratio)
    };
    match off(wide_first) < off(high_first) {
        true => wide_first,
        false => high_first,
    }
}

/// The size [width, height] of a clip that starts from a picture of the size `own`, as the releases of
/// Wan 2.1 and of Wan 2.2 I2V-A14B choose it, with multiples of 16 and an area of 480 × 832 or
/// 720 × 1280: each side of the picture's shape at that area, cut to the multiple below.
#[must_use]
pub fn floor_size(own: [usize; 2], multiple: usize, area: usize) -> [usize; 2] {
    let ratio = own[1] as f64 / own[0] as f64;
    let whole = |side: f64| ((side / multiple as f64) as usize).max(1) * multiple;
    [
        whole((area as f64 / ratio).sqrt()),
        whole((area as f64 * ratio).sqrt()),
    ]
}
