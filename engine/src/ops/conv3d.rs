//! Convolutions of pictures and of videos, causal in time.

pub use super::conv3d_geometry::Conv;
use super::conv3d_geometry::{OP, geometry};
use super::conv3d_tiled;
use super::epilogue::Epilogue;
use super::params::params;
use super::register_tiles::{self, ConvTile};
use super::split::lanes;
use super::tiles::{self, Kernel, Problem};
use super::weight_module::weight_module;
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
    for tile in register_tiles::all_for_conv(caps) {
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
/// position sees its own pixel and those below and to the right, with zeros beyond the lower and right
/// edges: `ZeroPad2d((0, 1, 0, 1))` and `Conv2d` of diffusers' `WanResample`; with a stride of
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
/// Shapes that do not match, sizes that a stride does not divide, a stride together with `upsample`;
/// weights larger than one binding, or two more frames than the kernel spans that are.
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
            // The plain kernel does not read f16: few pixels of it take a tile that is mostly empty.
            rows: if x.dtype == DType::F16 {
                rows.max(tiles::FEW_ROWS)
            } else {
                rows
            },
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
