//! RGB to Y'CbCr and back: BT.709, limited range, 4:2:0.
//!
//! ```text
//! Y' = 16 + 219 (0.2126 R + 0.7152 G + 0.0722 B)        R, G, B in [0, 1]
//! Cb = 128 + 224 (B − Y) / 1.8556      Cr = 128 + 224 (R − Y) / 1.5748
//! ```
//!
//! Source: ITU-R BT.709-6, sections 3 and 4. Chroma samples sit where H.264 puts them when a stream
//! says nothing (ITU-T H.264, figure E-1, type 0): on the left luma column of a pair, halfway between
//! its two rows. So a chroma sample is the [1 2 1] average of three columns over two rows; the plain
//! average of a 2×2 square would move all colour a quarter of a pixel to the right.
//!
//! Values are rounded to nearest and not dithered: a dither of half a step costs bits at the
//! quality where it survives, and is quantised away where it would be needed.

use openh264::formats::YUVSource;

/// 16-bit fixed point; every row of chroma weights sums to 0, so that grey stays exactly grey.
const Y_WEIGHTS: [i32; 3] = [11_966, 40_254, 4_064];
const CB_WEIGHTS: [i32; 3] = [-6_596, -22_188, 28_784];
const CR_WEIGHTS: [i32; 3] = [28_784, -26_145, -2_639];

/// A picture in planes of YUV 4:2:0, as a device converts it: sizes are even,
/// rows may have gaps.
#[derive(Clone, Copy, Debug)]
pub struct YuvPlanes<'a> {
    /// Bytes from a row to the next: of Y, and of Cb and Cr.
    pub strides: [usize; 2],
    /// Luma.
    pub y: &'a [u8],
    /// Blue less luma.
    pub cb: &'a [u8],
    /// Red less luma.
    pub cr: &'a [u8],
}

/// Planes with the even size of their picture.
pub(super) struct Framed<'a>(pub(super) YuvPlanes<'a>, pub(super) [usize; 2]);

impl Framed<'_> {
    /// Whether every row is there, gaps included.
    pub(super) fn is_whole(&self) -> bool {
        let Self(planes, [width, height]) = self;
        let has = |plane: &[u8], stride: usize, part: usize| {
            stride >= width / part && plane.len() >= stride * (height / part)
        };
        let [luma, chroma] = planes.strides;
        has(planes.y, luma, 1) && has(planes.cb, chroma, 2) && has(planes.cr, chroma, 2)
    }
}

impl YUVSource for Framed<'_> {
    fn dimensions(&self) -> (usize, usize) {
        self.1.into()
    }
    fn strides(&self) -> (usize, usize, usize) {
        let [luma, chroma] = self.0.strides;
        (luma, chroma, chroma)
    }
    fn y(&self) -> &[u8] {
        self.0.y
    }
    fn u(&self) -> &[u8] {
        self.0.cb
    }
    fn v(&self) -> &[u8] {
        self.0.cr
    }
}

/// One picture in planes: Y of width × height, Cb and Cr of half both. Sizes are even.
pub(super) struct Yuv420 {
    width: usize,
    height: usize,
    y: Vec<u8>,
    cb: Vec<u8>,
    cr: Vec<u8>,
    /// Two rows of RGB added up, [width, 3].
    pair: Vec<u16>,
}

impl Yuv420 {
    /// A black picture of `width` × `height`, each rounded up to even.
    pub(super) fn new(width: usize, height: usize) -> Self {
        let (width, height) = (width.next_multiple_of(2), height.next_multiple_of(2));
        Self {
            width,
            height,
            y: vec![16; width * height],
            cb: vec![128; width * height / 4],
            cr: vec![128; width * height / 4],
            pair: vec![0; width * 3],
        }
    }

    /// Converts `rgb`, [height, width, 3], whose `width` and `height` are this picture's or one
    /// less: a missing last column or row repeats its neighbour.
    pub(super) fn fill(&mut self, rgb: &[u8], width: usize, height: usize) {
        for row in (0..self.height).step_by(2) {
            let upper = rgb_row(rgb, width, row.min(height - 1));
            let lower = rgb_row(rgb, width, (row + 1).min(height - 1));
            let (y_upper, y_lower) =
                self.y[row * self.width..][..2 * self.width].split_at_mut(self.width);
            luma_row(upper, y_upper);
            luma_row(lower, y_lower);
            for ((sum, &a), &b) in self.pair.iter_mut().zip(upper).zip(lower) {
                *sum = u16::from(a) + u16::from(b);
            }
            if width < self.width {
                self.pair.copy_within((width - 1) * 3..width * 3, width * 3);
            }
            let half = self.width / 2;
            let start = row / 2 * half;
            chroma_row(
                &self.pair,
                &mut self.cb[start..start + half],
                &mut self.cr[start..start + half],
            );
        }
    }
}

fn rgb_row(rgb: &[u8], width: usize, row: usize) -> &[u8] {
    &rgb[row * width * 3..][..width * 3]
}

fn luma_row(rgb: &[u8], y: &mut [u8]) {
    for (out, px) in y.iter_mut().zip(rgb.chunks_exact(3)) {
        *out = ((dot(Y_WEIGHTS, px) + (16 << 16) + (1 << 15)) >> 16) as u8;
    }
    if let [.., before, last] = y
        && rgb.len() / 3 % 2 == 1
    {
        *last = *before;
    }
}

fn dot(weights: [i32; 3], px: &[u8]) -> i32 {
    weights[0] * i32::from(px[0]) + weights[1] * i32::from(px[1]) + weights[2] * i32::from(px[2])
}

fn chroma_row(pair: &[u16], cb: &mut [u8], cr: &mut [u8]) {
    for (i, (cb, cr)) in cb.iter_mut().zip(cr).enumerate() {
        let at = i * 6;
        let left = at.saturating_sub(3);
        let sum: [i32; 3] = std::array::from_fn(|c| {
            i32::from(pair[left + c]) + 2 * i32::from(pair[at + c]) + i32::from(pair[at + 3 + c])
        });
        // Weights of 8 in all: three more bits to shift out.
        let scaled = |w: [i32; 3]| {
            (w[0] * sum[0] + w[1] * sum[1] + w[2] * sum[2] + (128 << 19) + (1 << 18)) >> 19
        };
        *cb = scaled(CB_WEIGHTS).clamp(0, 255) as u8;
        *cr = scaled(CR_WEIGHTS).clamp(0, 255) as u8;
    }
}

impl YUVSource for Yuv420 {
    fn dimensions(&self) -> (usize, usize) {
        (self.width, self.height)
    }
    fn strides(&self) -> (usize, usize, usize) {
        (self.width, self.width / 2, self.width / 2)
    }
    fn y(&self) -> &[u8] {
        &self.y
    }
    fn u(&self) -> &[u8] {
        &self.cb
    }
    fn v(&self) -> &[u8] {
        &self.cr
    }
}

/// The picture as RGB, [height, width, 3], chroma interpolated from the positions above.
pub(super) fn rgb_from_yuv(picture: &impl YUVSource) -> Vec<u8> {
    let (width, height) = picture.dimensions();
    let (y_stride, c_stride, _) = picture.strides();
    let (half_w, half_h) = (width / 2, height / 2);
    let mut rgb = vec![0; width * height * 3];
    for (row, out) in rgb.chunks_exact_mut(width * 3).enumerate() {
        let near = row / 2;
        let far = if row % 2 == 0 {
            near.saturating_sub(1)
        } else {
            (near + 1).min(half_h - 1)
        };
        let luma = &picture.y()[row * y_stride..][..width];
        // Four times the chroma of this row, less its zero point.
        let vertical = |plane: &[u8], x: usize| {
            3 * i32::from(plane[near * c_stride + x]) + i32::from(plane[far * c_stride + x]) - 512
        };
        let at = |plane: &[u8], x: usize| {
            let here = vertical(plane, x / 2);
            let next = if x.is_multiple_of(2) {
                here
            } else {
                vertical(plane, (x / 2 + 1).min(half_w - 1))
            };
            here + next
        };
        for (x, (px, &y)) in out.chunks_exact_mut(3).zip(luma).enumerate() {
            let (cb, cr) = (at(picture.u(), x), at(picture.v(), x));
            let y = 76_309 * 8 * (i32::from(y) - 16) + (1 << 18);
            let channel = |value: i32| (value >> 19).clamp(0, 255) as u8;
            px[0] = channel(y + 117_489 * cr);
            px[1] = channel(y - 13_975 * cb - 34_925 * cr);
            px[2] = channel(y + 138_438 * cb);
        }
    }
    rgb
}
