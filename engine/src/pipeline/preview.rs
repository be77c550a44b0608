//! Small pictures of latents while a run is in progress.

use super::decoder::colours;
use crate::error::Error;
use crate::weights::Latents;

/// The least width of each picture on a sheet, in pixels.
const READABLE: usize = 256;

/// One small picture a latent frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// Pixels a row: one a latent.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// 8-bit RGB, `3 * width * height` bytes each.
    pub frames: Vec<Vec<u8>>,
}

impl Preview {
    /// Maps each latent linearly to one colour, on the host.
    ///
    /// # Errors
    /// [`RequestError::NoColours`](crate::error::RequestError::NoColours) where no map is known
    /// for latents of these channels.
    pub fn of(latents: &Latents) -> Result<Self, Error> {
        let [_, channels, frames, height, width] = latents.shape;
        let colours = colours(channels)?;
        let frame = |t| colours.frame(latents, t).into_iter().map(shade).collect();
        Ok(Self {
            width,
            height,
            frames: (0..frames).map(frame).collect(),
        })
    }

    /// Arranges all pictures on one sheet, row by row, as close to a square as possible. Small pictures
    /// are enlarged by a whole factor. Returns the sheet's width, height and pixels.
    pub fn sheet(&self) -> (usize, usize, Vec<u8>) {
        let zoom = READABLE.div_ceil(self.width.max(1)).max(1);
        let (width, height) = (self.width * zoom, self.height * zoom);
        let count = self.frames.len().max(1);
        let square = (count * height) as f64 / width.max(1) as f64;
        let columns = (square.sqrt().round() as usize).clamp(1, count);
        let rows = count.div_ceil(columns);
        let line = 3 * width * columns;
        let mut sheet = vec![0; line * height * rows];
        for (at, frame) in self.frames.iter().enumerate() {
            let start = at / columns * height * line + at % columns * 3 * width;
            for y in 0..height {
                let to = &mut sheet[start + y * line..][..3 * width];
                let from = &frame[y / zoom * 3 * self.width..][..3 * self.width];
                let pixels = from.as_chunks::<3>().0.iter();
                let pixels = pixels.flat_map(|pixel| std::iter::repeat_n(pixel, zoom));
                for (to, pixel) in to.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
                    *to = *pixel;
                }
            }
        }
        (width * columns, height * rows, sheet)
    }
}

/// A shade from 0 to 1 as a byte.
fn shade(value: f32) -> u8 {
    (value.clamp(0.0, 1.0) * 255.0).round() as u8
}

/// Resizes a picture [h, w, 3] from size `from` to size `to` (width, height), bilinearly between
/// pixel centres.
pub(super) fn enlarged(rgb: &[f32], from: [usize; 2], to: [usize; 2]) -> Vec<u8> {
    // The two neighbouring pixels of a position, and the weight of the second.
    let between = |at: usize, from: usize, to: usize| {
        let place = ((at as f32 + 0.5) * from as f32 / to as f32 - 0.5).max(0.0);
        let first = (place as usize).min(from - 1);
        (first, (first + 1).min(from - 1), place - first as f32)
    };
    let mut out = Vec::with_capacity(3 * to[0] * to[1]);
    for y in 0..to[1] {
        let (above, below, down) = between(y, from[1], to[1]);
        for x in 0..to[0] {
            let (left, right, along) = between(x, from[0], to[0]);
            for colour in 0..3 {
                let at = |y: usize, x: usize| rgb[(y * from[0] + x) * 3 + colour];
                let mix = |a: f32, b: f32, share: f32| a + (b - a) * share;
                let upper = mix(at(above, left), at(above, right), along);
                let lower = mix(at(below, left), at(below, right), along);
                out.push(shade(mix(upper, lower, down)));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_enlarged_between_their_pixels() {
        // A black and a white pixel, one row.
        let rgb = [0.0, 0.0, 0.0, 1.0, 1.0, 1.0];
        let found = enlarged(&rgb, [2, 1], [4, 2]);
        let row = [0, 0, 0, 64, 64, 64, 191, 191, 191, 255, 255, 255];
        assert_eq!(found, [row, row].concat());
    }

    #[test]
    fn a_sheet_holds_every_picture() {
        let picture = |shade: u8| vec![shade; 3 * 256 * 128];
        let preview = Preview {
            width: 256,
            height: 128,
            frames: (1..=5).map(picture).collect(),
        };
        let (width, height, sheet) = preview.sheet();
        assert_eq!((width, height, sheet.len()), (512, 384, 3 * 512 * 384));
        let at = |x: usize, y: usize| sheet[(y * width + x) * 3];
        assert_eq!(
            [at(0, 0), at(256, 0), at(255, 128), at(511, 255)],
            [1, 2, 3, 4]
        );
        assert_eq!([at(0, 256), at(256, 256)], [5, 0]);
        // Small pictures become readable.
        let small = Preview {
            width: 10,
            height: 6,
            frames: vec![vec![7; 180]],
        };
        let (width, height, sheet) = small.sheet();
        assert_eq!((width, height), (260, 156));
        assert!(sheet.iter().all(|&shade| shade == 7));
    }
}
