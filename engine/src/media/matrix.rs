//! Y'CbCr of any clip to RGB: the matrices and ranges that H.264 streams name.
//!
//! ```text
//! R = Y + 2 (1 − Kr) Cr      B = Y + 2 (1 − Kb) Cb
//! G = Y − 2 Kb (1 − Kb) / Kg Cb − 2 Kr (1 − Kr) / Kg Cr      Kg = 1 − Kr − Kb
//! ```
//!
//! Y in [0, 1] and Cb, Cr in [−1/2, 1/2] are stored over 219 and 224 steps from 16 and about 128, or,
//! in full range, over 255 from 0 and about 128. Source: ITU-T H.264, clause E.2.1; ITU-R BT.601-7,
//! BT.709-6. Chroma is interpolated from where `color.rs` says that it lies.

use openh264::formats::YUVSource;

use super::boxes::Mp4Box;

/// Weights of red and blue in luma.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Matrix {
    Bt601,
    Bt709,
    Bt2020,
}

/// How a stream's numbers stand for colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Colour {
    /// `matrix_coefficients`, or `None` if the stream does not state it.
    pub(super) matrix: Option<u32>,
    pub(super) full_range: bool,
}

/// `matrix_coefficients` that say nothing.
const UNSPECIFIED: u32 = 2;

/// The largest picture of standard definition, whose matrix is BT.601 unless a stream says otherwise.
const STANDARD: [u32; 2] = [1_024, 576];

impl Matrix {
    /// By `matrix_coefficients`; `None` for those that are not read here.
    fn of(coefficients: u32) -> Option<Self> {
        match coefficients {
            1 => Some(Self::Bt709),
            5 | 6 => Some(Self::Bt601),
            9 => Some(Self::Bt2020),
            _ => None,
        }
    }

    /// Of a stream of that size that does not say.
    fn usual(width: u32, height: u32) -> Self {
        match width <= STANDARD[0] && height <= STANDARD[1] {
            true => Self::Bt601,
            false => Self::Bt709,
        }
    }

    fn weights(self) -> [f64; 2] {
        match self {
            Self::Bt601 => [0.299, 0.114],
            Self::Bt709 => [0.2126, 0.0722],
            Self::Bt2020 => [0.2627, 0.0593],
        }
    }
}

/// What converts the frames of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Conversion {
    matrix: Matrix,
    full_range: bool,
}

impl Conversion {
    /// From what the stream and its entry in the container say, the stream first.
    ///
    /// # Errors
    /// `matrix_coefficients` that are not read here.
    pub(super) fn new(
        stream: Option<Colour>,
        entry: &Mp4Box,
        [width, height]: [u32; 2],
    ) -> Result<Self, u32> {
        let container = entry.child(b"colr").and_then(|colr| of_box(&colr.fields));
        let both = [stream, container];
        let mut said = both.iter().flatten();
        let mut told = said.clone().filter_map(|colour| colour.matrix);
        let matrix = match told.find(|&told| told != UNSPECIFIED) {
            None => Matrix::usual(width, height),
            Some(told) => Matrix::of(told).ok_or(told)?,
        };
        Ok(Self {
            matrix,
            full_range: said.next().is_some_and(|colour| colour.full_range),
        })
    }

    /// Whether it is that of `color.rs`, which every clip of ours has.
    pub(super) fn is_ours(self) -> bool {
        self.matrix == Matrix::Bt709 && !self.full_range
    }

    /// The picture as RGB, [height, width, 3].
    pub(super) fn rgb(self, picture: &impl YUVSource) -> Vec<u8> {
        let (width, height) = picture.dimensions();
        let (y_stride, c_stride, _) = picture.strides();
        let (half_w, half_h) = (width.div_ceil(2), height.div_ceil(2));
        let [kr, kb] = self.matrix.weights();
        let kg = 1.0 - kr - kb;
        let (luma, chroma, black) = match self.full_range {
            true => (1.0, 1.0, 0.0),
            false => (255.0 / 219.0, 255.0 / 224.0, 16.0),
        };
        let red = 2.0 * (1.0 - kr) * chroma;
        let blue = 2.0 * (1.0 - kb) * chroma;
        let green = [blue * kb / kg, red * kr / kg];
        let mut rgb = Vec::with_capacity(width * height * 3);
        for row in 0..height {
            let near = row / 2;
            let far = match row % 2 {
                0 => near.saturating_sub(1),
                _ => (near + 1).min(half_h - 1),
            };
            let at = |plane: &[u8], x: usize| {
                let vertical = |x: usize| {
                    let pixel = |line: usize| f64::from(plane[line * c_stride + x]);
                    0.75 * pixel(near) + 0.25 * pixel(far) - 128.0
                };
                match x % 2 {
                    0 => vertical(x / 2),
                    _ => (vertical(x / 2) + vertical((x / 2 + 1).min(half_w - 1))) / 2.0,
                }
            };
            for (x, &y) in picture.y()[row * y_stride..][..width].iter().enumerate() {
                let y = luma * (f64::from(y) - black);
                let (cb, cr) = (at(picture.u(), x), at(picture.v(), x));
                let colours = [
                    y + red * cr,
                    y - green[0] * cb - green[1] * cr,
                    y + blue * cb,
                ];
                rgb.extend(colours.map(|value| value.round().clamp(0.0, 255.0) as u8));
            }
        }
        rgb
    }
}

/// The colours of a box `colr` that names them by numbers.
fn of_box(fields: &[u8]) -> Option<Colour> {
    let numbers = fields
        .strip_prefix(b"nclx")
        .or(fields.strip_prefix(b"nclc"))?;
    let matrix = u32::from(u16::from_be_bytes([*numbers.get(4)?, *numbers.get(5)?]));
    Some(Colour {
        matrix: Some(matrix),
        // The older kind, of QuickTime, has no byte for it.
        full_range: numbers.get(6).is_some_and(|flags| flags & 0x80 != 0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Flat pictures of 2 x 2 pixels.
    struct Flat([u8; 3]);

    impl YUVSource for Flat {
        fn dimensions(&self) -> (usize, usize) {
            (2, 2)
        }
        fn strides(&self) -> (usize, usize, usize) {
            (2, 1, 1)
        }
        fn y(&self) -> &[u8] {
            match self.0[0] {
                16 => &[16; 4],
                235 => &[235; 4],
                81 => &[81; 4],
                63 => &[63; 4],
                76 => &[76; 4],
                _ => &[255; 4],
            }
        }
        fn u(&self) -> &[u8] {
            &self.0[1..2]
        }
        fn v(&self) -> &[u8] {
            &self.0[2..]
        }
    }

    /// Black, white and pure red of each matrix and range, by the tables of the recommendations.
    #[test]
    fn colours_come_back() {
        let rgb = |matrix, full_range, yuv| {
            let conversion = Conversion { matrix, full_range };
            let rgb = conversion.rgb(&Flat(yuv));
            [rgb[0], rgb[1], rgb[2]]
        };
        for matrix in [Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020] {
            assert_eq!(rgb(matrix, false, [16, 128, 128]), [0; 3]);
            assert_eq!(rgb(matrix, false, [235, 128, 128]), [255; 3]);
            assert_eq!(rgb(matrix, true, [255, 128, 128]), [255; 3]);
        }
        let near = |found: [u8; 3], wanted: [u8; 3]| {
            let all = found.iter().zip(wanted).all(|(a, b)| a.abs_diff(b) <= 1);
            assert!(all, "{found:?}, expected {wanted:?}");
        };
        near(rgb(Matrix::Bt601, false, [81, 90, 240]), [255, 0, 0]);
        near(rgb(Matrix::Bt709, false, [63, 102, 240]), [255, 0, 0]);
        near(rgb(Matrix::Bt601, true, [76, 85, 255]), [254, 0, 0]);
    }

    #[test]
    fn what_is_not_said_goes_by_the_size() {
        let entry = |children| Mp4Box {
            name: *b"avc1",
            fields: Vec::new(),
            children,
        };
        let colr = Mp4Box {
            name: *b"colr",
            fields: b"nclx\0\x01\0\x01\0\x06\x80".to_vec(),
            children: Vec::new(),
        };
        let silent = entry(Vec::new());
        let (small, large) = ([640, 480], [1280, 720]);
        let standard = Conversion::new(None, &silent, small).unwrap();
        assert_eq!(standard.matrix, Matrix::Bt601);
        assert!(Conversion::new(None, &silent, large).unwrap().is_ours());
        let container = Conversion::new(None, &entry(vec![colr]), large);
        let expected = Conversion {
            matrix: Matrix::Bt601,
            full_range: true,
        };
        assert_eq!(container, Ok(expected));
        let stream = |matrix| {
            Some(Colour {
                matrix: Some(matrix),
                full_range: false,
            })
        };
        let found = Conversion::new(stream(1), &silent, small).unwrap();
        assert!(found.is_ours());
        let found = Conversion::new(stream(UNSPECIFIED), &silent, small).unwrap();
        assert_eq!(found.matrix, Matrix::Bt601);
        assert_eq!(Conversion::new(stream(8), &silent, small), Err(8));
    }
}
