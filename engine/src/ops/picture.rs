//! Pictures of bytes as hosts and encoders want them: a word a pixel, or planes of YUV 4:2:0.

use super::params::params;
use super::split::lanes;
use super::window::window;
use crate::error::RecordError;
use crate::record::{Caps, Recorder, Tensor};
use crate::shader::Variant;
use crate::tensor::DType;

params! {
    /// Params of `rgba8.wgsl`.
    Rgba8Params for "rgba8" {
        pixels: u32,
        width: u32,
        stride: u32,
        line: u32,
        first: u32,
    }
}

params! {
    /// Params of `yuv420.wgsl`.
    Yuv420Params for "yuv420" {
        words: u32,
        luma_words: u32,
        luma_row: u32,
        chroma_words: u32,
        chroma_row: u32,
        width: u32,
        height: u32,
        line: u32,
        first: u32,
    }
}

fn variant(caps: &Caps, kernel: &'static str) -> Variant {
    Variant::new(kernel).set("LANES", lanes(caps))
}

pub(super) fn variants(caps: &Caps) -> Vec<Variant> {
    ["rgba8", "yuv420"]
        .map(|kernel| variant(caps, kernel))
        .to_vec()
}

/// The central part of a picture among bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The byte at which the picture begins.
    pub start: u64,
    /// Width and height of the picture.
    pub made: [usize; 2],
    /// Width and height of the part.
    pub size: [usize; 2],
}

/// Planes of YUV 4:2:0 in one buffer: Y, then Cb, then Cr, rows of whole words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planes {
    /// Bytes of a row of Y.
    pub luma_stride: usize,
    /// Rows of Y.
    pub luma_rows: usize,
    /// Bytes of a row of Cb and of Cr.
    pub chroma_stride: usize,
    /// Rows of Cb and of Cr.
    pub chroma_rows: usize,
}

impl Planes {
    /// The planes of a picture of this width and height, each rounded up to even.
    pub fn of([width, height]: [usize; 2]) -> Self {
        let [width, height] = [width, height].map(|side| side.next_multiple_of(2));
        Self {
            luma_stride: width.next_multiple_of(4),
            luma_rows: height,
            chroma_stride: (width / 2).next_multiple_of(4),
            chroma_rows: height / 2,
        }
    }

    /// Where Cb begins, where Cr begins, and the end.
    pub fn ends(&self) -> [usize; 3] {
        let luma = self.luma_stride * self.luma_rows;
        let chroma = self.chroma_stride * self.chroma_rows;
        [luma, luma + chroma, luma + 2 * chroma]
    }
}

/// The words of `x` that a picture's part lies in, as a window, and the byte in it where it begins.
fn place(
    op: &'static str,
    caps: &Caps,
    x: &Tensor,
    part: Part,
) -> Result<(std::ops::Range<u64>, u32), RecordError> {
    let Part { start, made, size } = part;
    let bytes = (made[0] * made[1] * 3) as u64;
    let whole = x.shape.count() as u64 * 4;
    let fits = size[0] <= made[0] && size[1] <= made[1] && size[0] * size[1] > 0;
    if !fits || start + bytes > whole || x.dtype != DType::U32 {
        return Err(RecordError::Shape {
            op,
            name: "x",
            found: x.shape,
            expected: format!("u32 with the bytes of {part:?}"),
        });
    }
    let words = (start / 4) as usize..((start + bytes).div_ceil(4)) as usize;
    let from = window(caps, x, words);
    let [left, top] = [0, 1].map(|axis| (made[axis] - size[axis]) / 2);
    let first = start + ((top * made[0] + left) * 3) as u64 - u64::from(from.base) * 4;
    Ok((from.bytes, first as u32))
}

/// A picture's part, a word a pixel, in rows of `stride` pixels.
///
/// | tensor | shape | dtype |
/// |---|---|---|
/// | x | bytes of [H, W, 3] from `part.start` on, four to a word | u32 |
/// | y | [h, `stride`] | u32 |
///
/// # Errors
/// A part that is not in `x`; a `y` of another shape.
pub fn rgba8(
    rec: &mut Recorder<'_>,
    x: &Tensor,
    part: Part,
    y: &Tensor,
) -> Result<(), RecordError> {
    const OP: &str = "rgba8";
    let caps = rec.caps();
    let (bytes, first) = place(OP, caps, x, part)?;
    let [width, height] = part.size;
    let stride = y.shape.last_dim();
    if y.shape.count() != height * stride || stride < width || y.dtype != DType::U32 {
        return Err(RecordError::Shape {
            op: OP,
            name: "y",
            found: y.shape,
            expected: format!("u32 [{height}, at least {width}]"),
        });
    }
    let lanes = lanes(caps) as usize;
    rec.dispatch(OP, variant(caps, OP))
        .read_window(1, x, bytes)
        .write(2, y)
        .params(&Rgba8Params {
            pixels: (width * height) as u32,
            width: width as u32,
            stride: stride as u32,
            line: part.made[0] as u32,
            first,
        })
        .launch_folded((width * height).div_ceil(lanes))
}

/// A picture's part as [`Planes`], as H.264 encoders take it (ITU-R BT.709, limited range).
///
/// | tensor | shape | dtype |
/// |---|---|---|
/// | x | bytes of [H, W, 3] from `part.start` on, four to a word | u32 |
/// | y | the words of the planes | u32 |
///
/// # Errors
/// A part that is not in `x`; a `y` of another size.
pub fn yuv420(
    rec: &mut Recorder<'_>,
    x: &Tensor,
    part: Part,
    y: &Tensor,
) -> Result<(), RecordError> {
    const OP: &str = "yuv420";
    let caps = rec.caps();
    let (bytes, first) = place(OP, caps, x, part)?;
    let planes = Planes::of(part.size);
    let [luma, cb, end] = planes.ends().map(|end| end / 4);
    if y.shape.count() != end || y.dtype != DType::U32 {
        return Err(RecordError::Shape {
            op: OP,
            name: "y",
            found: y.shape,
            expected: format!("u32 [{end}]"),
        });
    }
    let lanes = lanes(caps) as usize;
    rec.dispatch(OP, variant(caps, OP))
        .read_window(1, x, bytes)
        .write(2, y)
        .params(&Yuv420Params {
            words: end as u32,
            luma_words: luma as u32,
            luma_row: (planes.luma_stride / 4) as u32,
            chroma_words: (cb - luma) as u32,
            chroma_row: (planes.chroma_stride / 4) as u32,
            width: part.size[0] as u32,
            height: part.size[1] as u32,
            line: part.made[0] as u32,
            first,
        })
        .launch_folded(end.div_ceil(lanes))
}
