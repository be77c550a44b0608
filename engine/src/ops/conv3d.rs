//! Convolutions of pictures and of videos, causal in time.

use std::ops::Range;

use super::conv3d_tiled;
use super::matmul::{Epilogue, lanes, weight_module};
use super::params::params;
use super::plain::{self, ConvTile};
use super::tiles::{self, Kernel, Problem};
use super::window::{Window, window};
use crate::error::RecordError;
use crate::record::{Caps, Recorder, Tensor};
use crate::shader::{Slot, Variant};
use crate::tensor::DType;

params! {
    /// Params of `conv3d.wgsl`.
    Conv3dParams for "conv3d" {
        tile_base: u32,
        tiles: u32,
        line_tiles: u32,
        height: u32,
        width: u32,
        lines: u32,
        pixels: u32,
        up: u32,
        stride: u32,
        stride_t: u32,
        above: u32,
        left: u32,
        channels: u32,
        cols: u32,
        kt: u32,
        kh: u32,
        kw: u32,
        folds: u32,
        x_base: u32,
        past_base: u32,
        y_base: u32,
        row_base: u32,
    }
}

pub(super) const OP: &str = "conv3d";

/// What is convolved with what.
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
    /// What one invocation of `conv3d.wgsl` computes.
    tile: ConvTile,
}

impl Geometry {
    /// Pixels of one tile.
    fn tile_pixels(&self) -> usize {
        self.tile.tile.rows as usize
    }

    fn line_tiles(&self) -> usize {
        self.width.div_ceil(self.tile_pixels())
    }

    pub(super) fn flops_a_pixel(&self) -> u64 {
        let [kt, kh, kw] = self.kernel;
        2 * (self.cols * self.channels * kt * kh * kw) as u64
    }
}

/// What a dispatch of some tiles binds.
pub(super) struct Windows {
    pub(super) x: Window,
    /// The windows of `past`, where the tiles look at it.
    pub(super) past: Option<Window>,
    pub(super) y: Window,
    /// Rows of the epilogue's tensors.
    pub(super) rows: Range<usize>,
}

/// The variant of `conv3d.wgsl`; `single` reads channels one at a time.
fn variant(
    caps: &Caps,
    ConvTile { tile, taps }: ConvTile,
    single: bool,
    weight: Option<&'static str>,
    epilogue: Option<&'static str>,
) -> Variant {
    let mut variant = Variant::new("conv3d")
        .tile("TILE_ROWS", tile.rows)
        .tile("TILE_COLS", tile.cols)
        .tile("TAPS", taps)
        .set("LANES", lanes(caps));
    for (slot, module) in [
        (Slot::Pixels, single.then_some("single")),
        (Slot::Weight, weight),
        (Slot::Epilogue, epilogue),
    ] {
        if let Some(module) = module {
            variant = variant.slot(slot, module);
        }
    }
    variant
}

pub(super) fn variants(caps: &Caps) -> Vec<Variant> {
    let mut all = Vec::new();
    for tile in plain::all_for_conv(caps) {
        for single in [false, true] {
            for weight in [None, Some("f16"), Some("bf16")] {
                for epilogue in Epilogue::OF_CONVOLUTIONS {
                    all.push(variant(caps, tile, single, weight, epilogue));
                }
            }
        }
    }
    all
}

/// `y = epilogue(conv(x, w))`: `torch.nn.Conv2d` with `padding = k / 2`, and diffusers'
/// `WanCausalConv3d`, which pads time on the side of the past only. With a stride of 2 in space a
/// position sees the pixel it stands on and those below and right of it, zeros beyond the lower and
/// right edges: `ZeroPad2d((0, 1, 0, 1))` and `Conv2d` of diffusers' `WanResample`; with a stride of
/// 2 in time the frames [2 t - (kt - 2), 2 t + 1], as its `time_conv`.
///
/// | tensor | shape | dtype |
/// |---|---|---|
/// | x | [T, H, W, C] | f32; f16 where [`Recorder::activations`] is and C is a multiple of 4 |
/// | w | [N, C, (kt,) kh, kw] | f32, f16, bf16 |
/// | past | [kt - S, H, W, C], S the stride in time | as x |
/// | y | [F T, H, W, N / F], height and width doubled by `upsample`, T, H and W halved by strides | f32 |
///
/// The epilogue sees rows of N features, one a pixel, before channels are folded into frames.
/// Lines and frames are split over dispatches where a window would exceed the device's binding
/// limit or one dispatch would run too long; the order of each sum stays the same.
///
/// # Errors
/// Shapes that do not match, sizes that a stride does not divide, a stride beside `upsample`; two frames more than the kernel's own, or weights, larger than one
/// binding.
pub fn conv3d(
    rec: &mut Recorder<'_>,
    x: &Tensor,
    conv: &Conv<'_>,
    epilogue: Epilogue<'_>,
) -> Result<Tensor, RecordError> {
    let g = geometry(rec.caps(), x, conv)?;
    let rows = g.frames * g.height * g.width;
    epilogue.check(OP, rows, g.cols)?;
    let shape = [g.frames * g.folds, g.height, g.width, g.cols / g.folds];
    let y = rec.intermediate(OP, shape, DType::F32);
    let by_fours = g.channels.is_multiple_of(4);
    let kernel = tiles::kernel(
        rec.caps(),
        &Problem {
            rows,
            cols: g.cols,
            by_fours,
            half: rec.may_round(conv.weight),
            result: y.dtype,
        },
    );
    if let Kernel::Tiled(tile) = kernel {
        conv3d_tiled::record(rec, tile, x, conv, &epilogue, &y, &g)?;
        return Ok(y);
    }
    if x.dtype != DType::F32 {
        return Err(RecordError::Shape {
            op: OP,
            name: "x",
            found: x.shape,
            expected: "f32 for these channels on this device".into(),
        });
    }
    let caps = rec.caps();
    let [kt, kh, kw] = g.kernel.map(|k| k as u32);
    let variant = variant(
        caps,
        g.tile,
        !by_fours,
        weight_module(conv.weight.dtype),
        epilogue.module(),
    );
    let across = (lanes(caps) * g.tile.tile.cols) as usize;
    let tiles = g.frames * g.height * g.line_tiles();
    let by_time = caps.dispatch_flops() / (g.flops_a_pixel() * g.tile_pixels() as u64).max(1);
    let mut first = 0;
    while first < tiles {
        let mut count = (tiles - first).min(by_time.clamp(1, 1 << 30) as usize);
        let mut windows = g.windows(caps, x, conv.past, &y, first..first + count);
        while count > 1 && windows.largest(&epilogue, g.cols) > caps.max_binding_bytes {
            count = count.div_ceil(2);
            windows = g.windows(caps, x, conv.past, &y, first..first + count);
        }
        let (past, past_window) = match (conv.past, &windows.past) {
            (Some(past), Some(window)) => (past, window),
            // Nothing is read of it; the binding must hold something.
            _ => (x, &windows.x),
        };
        let builder = rec
            .dispatch(OP, variant.clone())
            .read_window(1, x, windows.x.bytes.clone())
            .write_window(2, &y, windows.y.bytes.clone())
            .read_window(3, past, past_window.bytes.clone())
            .read(8, conv.weight)
            .params(&Conv3dParams {
                tile_base: first as u32,
                tiles: count as u32,
                line_tiles: g.line_tiles() as u32,
                height: g.height as u32,
                width: g.width as u32,
                lines: g.lines as u32,
                pixels: g.pixels as u32,
                up: g.up as u32,
                stride: g.strides[1] as u32,
                stride_t: g.strides[0] as u32,
                above: g.padding[0] as u32,
                left: g.padding[1] as u32,
                channels: g.channels as u32,
                cols: g.cols as u32,
                kt,
                kh,
                kw,
                folds: g.folds as u32,
                x_base: windows.x.base,
                past_base: past_window.base,
                y_base: windows.y.base,
                row_base: windows.rows.start as u32,
            })
            .flops(g.flops_a_pixel() * (count * g.tile_pixels()).min(rows) as u64);
        let fold = count.min(32_768);
        let grid = [g.cols.div_ceil(across), fold, count.div_ceil(fold)];
        epilogue
            .bind(builder, windows.rows.start, windows.rows.len())
            .launch(grid)?;
        first += count;
    }
    Ok(y)
}

fn geometry(caps: &Caps, x: &Tensor, conv: &Conv<'_>) -> Result<Geometry, RecordError> {
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
        tile: plain::for_conv(caps, width, cols, kernel[2], stride),
    })
}

impl Geometry {
    /// What the tiles `range` read and write.
    fn windows(
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

    /// What the rows `range`, one a pixel of y, read and write.
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

    /// What the lines of y from the first to the last read and write.
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
        let (low, high) = match t0 == t1 {
            true => {
                let [above, _] = self.padding;
                let beyond = (bottom * stride + kh - 1).saturating_sub(above);
                let first = (top * stride).saturating_sub(above);
                (first >> self.up, (beyond >> self.up).min(self.lines - 1))
            }
            false => (0, self.lines - 1),
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
