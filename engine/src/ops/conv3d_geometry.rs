//! A convolution, its extents, and the windows of its tensors that a range of results reads and
//! writes.

use std::ops::Range;

use super::epilogue::Epilogue;
use super::register_tiles::{self, ConvTile};
use super::window::{Window, window};
use crate::error::RecordError;
use crate::record::{Caps, Tensor};
use crate::tensor::DType;

pub(super) const OP: &str = "conv3d";

/// The weight, state and options of a convolution.
#[derive(Clone, Copy, Debug)]
pub struct Conv<'t> {
    /// [N, C, kt, kh, kw] or [N, C, kh, kw], packed as `Pack::Conv`; kh and kw odd.
    pub weight: &'t Tensor,
    /// [kt - S, H, W, C] as x, S being the stride in time: the frames before the first one; none
    /// where kt is S.
    pub past: Option<&'t Tensor>,
    /// Reads every pixel as four: nearest upsampling by 2 of height and width.
    pub upsample: bool,
    /// How many frames the channels of one frame hold: F makes [F T, .., N / F] of [T, .., N].
    pub folds: usize,
    /// Frames, and pixels along a side, from one position to the next: 1, or 2 to halve them.
    pub strides: [usize; 2],
}

impl<'t> Conv<'t> {
    /// A convolution of pictures.
    pub fn new(weight: &'t Tensor) -> Self {
        Self {
            weight,
            past: None,
            upsample: false,
            folds: 1,
            strides: [1, 1],
        }
    }

    /// A convolution of a video whose frames before the first one are `past`.
    pub fn causal(weight: &'t Tensor, past: &'t Tensor) -> Self {
        Self {
            past: Some(past),
            ..Self::new(weight)
        }
    }
}

/// Extents of one convolution.
#[derive(Clone, Copy)]
pub(super) struct Geometry {
    /// Of y, before channels are folded into frames.
    pub(super) frames: usize,
    /// Of x.
    pub(super) lines: usize,
    pub(super) pixels: usize,
    pub(super) channels: usize,
    /// Of y.
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) cols: usize,
    pub(super) kernel: [usize; 3],
    pub(super) folds: usize,
    pub(super) up: usize,
    /// In time, in space.
    pub(super) strides: [usize; 2],
    /// Lines and columns of zeros before the first.
    pub(super) padding: [usize; 2],
    /// The tile that one invocation of `conv3d.wgsl` computes.
    pub(super) tile: ConvTile,
}

impl Geometry {
    /// Pixels of one tile.
    pub(super) fn tile_pixels(&self) -> usize {
        self.tile.tile.rows as usize
    }

    pub(super) fn line_tiles(&self) -> usize {
        self.width.div_ceil(self.tile_pixels())
    }

    pub(super) fn flops_a_pixel(&self) -> u64 {
        let [kt, kh, kw] = self.kernel;
        2 * (self.cols * self.channels * kt * kh * kw) as u64
    }
}

/// The windows that a dispatch of some tiles binds.
pub(super) struct Windows {
    pub(super) x: Window,
    /// The windows of `past`, where the tiles look at it.
    pub(super) past: Option<Window>,
    pub(super) y: Window,
    /// Rows of the epilogue's tensors.
    pub(super) rows: Range<usize>,
}

/// The extents of a convolution of `x`.
///
/// # Errors
/// Shapes that do not match, sizes that a stride does not divide.
pub(super) fn geometry(caps: &Caps, x: &Tensor, conv: &Conv<'_>) -> Result<Geometry, RecordError> {
    let [frames, lines, pixels, channels] = x.dims(OP, "x")?;
    let (cols, weight_channels, kernel) = match *conv.weight.shape.dims() {
        [n, c, kt, kh, kw] => (n, c, [kt, kh, kw]),
        [n, c, kh, kw] => (n, c, [1, kh, kw]),
        _ => {
            let expected = "[N, C, kt, kh, kw] or [N, C, kh, kw]".to_owned();
            return Err(RecordError::Shape {
                op: OP,
                name: "w",
                found: conv.weight.shape,
                expected,
            });
        }
    };
    if weight_channels != channels || !matches!(x.dtype, DType::F32 | DType::F16) {
        let expected = format!(
            "f32 or f16 [.., {weight_channels}] to match w {}",
            conv.weight.shape
        );
        return Err(RecordError::Shape {
            op: OP,
            name: "x",
            found: x.shape,
            expected,
        });
    }
    if conv.weight.dtype.block() > 1 {
        return Err(RecordError::Shape {
            op: OP,
            name: "w",
            found: conv.weight.shape,
            expected: "f32, f16 or bf16: convolutions take no weights in blocks".to_owned(),
        });
    }
    let [_, kh, kw] = kernel;
    for (name, found, good, expected) in [
        ("kh", kh, kh % 2 == 1, "odd"),
        ("kw", kw, kw % 2 == 1, "odd"),
    ] {
        if !good {
            return Err(RecordError::Size {
                op: OP,
                name,
                found,
                expected,
            });
        }
    }
    let strides @ [stride_t, stride] = conv.strides;
    for (name, found, good, expected) in [
        (
            "stride",
            stride,
            (1..=2).contains(&stride) && !(stride == 2 && conv.upsample),
            "1 or 2, and 1 where pixels are repeated",
        ),
        (
            "stride in time",
            stride_t,
            (1..=2).contains(&stride_t) && stride_t <= kernel[0],
            "1 or 2, and no more than kt",
        ),
        (
            "frames",
            frames,
            frames.is_multiple_of(stride_t.max(1)),
            "a multiple of the stride in time",
        ),
        (
            "lines",
            lines,
            lines.is_multiple_of(stride.max(1)),
            "a multiple of the stride",
        ),
        (
            "pixels of a line",
            pixels,
            pixels.is_multiple_of(stride.max(1)),
            "a multiple of the stride",
        ),
    ] {
        if !good {
            return Err(RecordError::Size {
                op: OP,
                name,
                found,
                expected,
            });
        }
    }
    let remembered = kernel[0] - stride_t;
    match conv.past {
        None if remembered == 0 => {}
        Some(past)
            if remembered > 0
                && *past.shape == [remembered, lines, pixels, channels]
                && past.dtype == x.dtype => {}
        past => {
            let expected = match remembered {
                0 => "none, since kt is the stride in time".to_owned(),
                frames => format!("{} [{frames}, {lines}, {pixels}, {channels}]", x.dtype),
            };
            let found = past.map_or([0].into(), |past| past.shape);
            return Err(RecordError::Shape {
                op: OP,
                name: "past",
                found,
                expected,
            });
        }
    }
    if conv.folds == 0 || cols % conv.folds != 0 {
        let expected = "a divisor of the output channels";
        return Err(RecordError::Size {
            op: OP,
            name: "folds",
            found: conv.folds,
            expected,
        });
    }
    let up = usize::from(conv.upsample);
    let width = (pixels << up) / stride;
    Ok(Geometry {
        frames: frames / stride_t,
        lines,
        pixels,
        channels,
        height: (lines << up) / stride,
        width,
        cols,
        kernel,
        folds: conv.folds,
        up,
        strides,
        padding: match stride {
            1 => [kh / 2, kw / 2],
            _ => [0, 0],
        },
        tile: register_tiles::for_conv(caps, width, cols, kernel[2], stride),
    })
}

impl Geometry {
    /// The windows that the tiles `range` read and write.
    pub(super) fn windows(
        &self,
        caps: &Caps,
        x: &Tensor,
        past: Option<&Tensor>,
        y: &Tensor,
        range: Range<usize>,
    ) -> Windows {
        let lines = [range.start, range.end - 1].map(|tile| tile / self.line_tiles());
        self.windows_of_lines(caps, x, past, y, lines)
    }

    /// The windows that the rows `range`, one per pixel of y, read and write.
    pub(super) fn windows_of_rows(
        &self,
        caps: &Caps,
        x: &Tensor,
        past: Option<&Tensor>,
        y: &Tensor,
        range: Range<usize>,
    ) -> Windows {
        let lines = [range.start, range.end - 1].map(|row| row / self.width);
        let windows = self.windows_of_lines(caps, x, past, y, lines);
        Windows {
            rows: range,
            ..windows
        }
    }

    /// The windows that a range of lines of y reads and writes.
    fn windows_of_lines(
        &self,
        caps: &Caps,
        x: &Tensor,
        past: Option<&Tensor>,
        y: &Tensor,
        lines: [usize; 2],
    ) -> Windows {
        let [kt, kh, _] = self.kernel;
        let [stride_t, stride] = self.strides;
        let [t0, t1] = lines.map(|line| line / self.height);
        let [top, bottom] = lines.map(|line| line % self.height);
        // Lines of x: of several frames, all of them.
        let (low, high) = if t0 == t1 {
            let [above, _] = self.padding;
            let beyond = (bottom * stride + kh - 1).saturating_sub(above);
            let first = (top * stride).saturating_sub(above);
            (first >> self.up, (beyond >> self.up).min(self.lines - 1))
        } else {
            (0, self.lines - 1)
        };
        let line = self.pixels * self.channels;
        let stretch = |first: usize, last: usize| {
            (first * self.lines + low) * line..(last * self.lines + high + 1) * line
        };
        let features = self.cols / self.folds;
        let out = |frame: usize, line: usize| (frame * self.height + line) * self.width * features;
        let last = t1 * self.folds + self.folds - 1;
        Windows {
            x: window(
                caps,
                x,
                stretch(
                    ((t0 + 1) * stride_t).saturating_sub(kt),
                    (t1 + 1) * stride_t - 1,
                ),
            ),
            past: past
                .filter(|_| (t0 + 1) * stride_t < kt)
                .map(|past| window(caps, past, stretch(t0 * stride_t, kt - stride_t - 1))),
            y: window(caps, y, out(t0 * self.folds, top)..out(last, bottom + 1)),
            // Rows from a multiple of 64 on start at every device's alignment.
            rows: lines[0] * self.width / 64 * 64..(lines[1] + 1) * self.width,
        }
    }
}

impl Windows {
    /// Bytes of the largest one.
    pub(super) fn largest(&self, epilogue: &Epilogue<'_>, cols: usize) -> u64 {
        let matrix = match epilogue {
            Epilogue::None | Epilogue::Bias(_) | Epilogue::BiasGelu(_) | Epilogue::BiasSilu(_) => 0,
            _ => (self.rows.len() * cols * 4) as u64,
        };
        let past = self.past.as_ref().map_or(0, Window::len);
        self.x.len().max(past).max(self.y.len()).max(matrix)
    }
}
