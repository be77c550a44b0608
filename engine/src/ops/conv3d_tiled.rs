//! Convolutions on the kernels that stage their operands: a product whose left operand is the
//! windows that pixels see (`shaders/rows/windows.wgsl`).

use super::conv3d_geometry::{Conv, Geometry, OP};
use super::epilogue::Epilogue;
use super::gemm::{Operands, ProductParams, bind_weight};
use super::tiles::{Kernel, Tile};
use super::window::aligned_rows;
use crate::error::RecordError;
use crate::record::{Recorder, Tensor};

/// Records a convolution whose channels are a multiple of four.
pub(super) fn record(
    rec: &mut Recorder<'_>,
    tile: Tile,
    x: &Tensor,
    conv: &Conv<'_>,
    epilogue: &Epilogue<'_>,
    y: &Tensor,
    g: &Geometry,
) -> Result<(), RecordError> {
    let caps = rec.caps();
    let operands = Operands {
        rows: Some("windows"),
        input: x.dtype,
        weight: conv.weight.dtype,
        epilogue: epilogue.module(),
        output: y.dtype,
        single: !(g.cols / g.folds).is_multiple_of(4),
    };
    let variant = operands.variant(tile);
    let scales = rec.scales(conv.weight);
    let [kt, kh, kw] = g.kernel;
    let depth = g.channels * kt * kh * kw;
    let rows = g.frames * g.height * g.width;
    let by_time = caps.dispatch_flops() / g.flops_a_pixel().max(1);
    let frame = g.height * g.width;
    // Windows of the epilogue's tensors start with each dispatch.
    let unit = aligned_rows(caps, g.cols);
    let mut first = 0;
    while first < rows {
        let whole = |count: usize| {
            if first + count < rows {
                (count / unit * unit).max(unit)
            } else {
                rows - first
            }
        };
        let mut count = whole(by_time.clamp(1, 1 << 30) as usize);
        let mut windows = g.windows_of_rows(caps, x, conv.past, y, first..first + count);
        while count > unit && windows.largest(epilogue, g.cols) > caps.max_binding_bytes {
            // Rows of two frames see all the lines of both.
            let of_frame = frame - first % frame;
            count = if of_frame < count && of_frame.is_multiple_of(unit) {
                of_frame
            } else {
                whole(count / 2)
            };
            windows = g.windows_of_rows(caps, x, conv.past, y, first..first + count);
        }
        let (past, past_window) = match (conv.past, &windows.past) {
            (Some(past), Some(window)) => (past, window),
            // Nothing is read of it; the binding must hold something.
            _ => (x, &windows.x),
        };
        let builder = rec
            .dispatch(OP, variant.clone())
            .read_window(1, x, windows.x.bytes.clone())
            .write_window(2, y, windows.y.bytes.clone())
            .read_window(3, past, past_window.bytes.clone())
            .params(&ProductParams {
                rows: count as u32,
                cols: g.cols as u32,
                col_base: 0,
                col_end: g.cols as u32,
                depth4: (depth / 4) as u32,
                out_cols: g.cols as u32,
                row_base: first as u32,
                height: g.height as u32,
                width: g.width as u32,
                lines: g.lines as u32,
                pixels: g.pixels as u32,
                up: g.up as u32,
                stride: g.strides[1] as u32,
                stride_t: g.strides[0] as u32,
                above: g.padding[0] as u32,
                left: g.padding[1] as u32,
                channels4: (g.channels / 4) as u32,
                kt: kt as u32,
                kh: kh as u32,
                kw: kw as u32,
                folds: g.folds as u32,
                x_base: windows.x.base / 4,
                past_base: past_window.base / 4,
                y_base: windows.y.base,
            })
            .flops(g.flops_a_pixel() * count as u64);
        let builder = bind_weight(
            builder,
            Kernel::Tiled(tile),
            conv.weight,
            scales.clone(),
            0..g.cols,
            depth,
        );
        let groups = g.cols.div_ceil(tile.cols()) * count.div_ceil(tile.rows());
        epilogue.bind(builder, first, count).launch_folded(groups)?;
        first += count;
    }
    Ok(())
}
