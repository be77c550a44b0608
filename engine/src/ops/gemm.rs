//! The common parts of the kernels on staged operands: params, slots, bindings of the weight.

use std::ops::Range;

use super::epilogue::Epilogue;
use super::params::params;
use super::tiles::{Coop, Kernel, Tile};
use super::weight_module::weight_module;
use crate::record::{Caps, DispatchBuilder, Tensor};
use crate::shader::{Slot, Variant};
use crate::tensor::DType;

params! {
    /// Params of `matmul_coop.wgsl`, `matmul_staged.wgsl` and `matvec.wgsl`; from `row_base` on those of a
    /// convolution.
    ProductParams for "matmul_coop" {
        rows: u32,
        cols: u32,
        col_base: u32,
        col_end: u32,
        depth4: u32,
        out_cols: u32,
        row_base: u32,
        height: u32,
        width: u32,
        lines: u32,
        pixels: u32,
        up: u32,
        stride: u32,
        stride_t: u32,
        above: u32,
        left: u32,
        channels4: u32,
        kt: u32,
        kh: u32,
        kw: u32,
        folds: u32,
        x_base: u32,
        past_base: u32,
        y_base: u32,
    }
}

/// The modules in the slots of a product's kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operands {
    /// The module of the `rows` slot, `None` for a matrix.
    pub(super) rows: Option<&'static str>,
    /// Element type of the left operand.
    pub(super) input: DType,
    /// Element type of the weight.
    pub(super) weight: DType,
    /// The module of the `epilogue` slot.
    pub(super) epilogue: Option<&'static str>,
    /// Element type of the result.
    pub(super) output: DType,
    /// Whether results are stored one at a time, because their columns are not a multiple of four.
    pub(super) single: bool,
}

impl Operands {
    /// The variant of a kernel.
    pub(super) fn variant(self, tile: Tile) -> Variant {
        let mut variant = match tile {
            Tile::Coop(coop) => Variant::new("matmul_coop")
                .coop(coop.edge)
                .tile("SIDE", coop.side)
                .tile("LANES", coop.lanes)
                .tile("STAGE4", coop.stage4()),
            Tile::Staged(staged) => Variant::new("matmul_staged")
                .tile("SIDE", staged.side)
                .tile("STAGE4", staged.stage4()),
        };
        let scalar = matches!(tile, Tile::Coop(Coop { scalar: true, .. }));
        let scaled = matches!(tile, Tile::Coop(_)) && self.weight.exceeds_f16();
        for (slot, module) in [
            (Slot::Rows, self.rows),
            (Slot::Weight, weight_module(self.weight)),
            (Slot::Epilogue, self.epilogue),
            (Slot::Stage, scalar.then_some("scalar")),
            (Slot::Result, self.single.then_some("single")),
            (Slot::Scale, scaled.then_some("rows")),
        ] {
            if let Some(module) = module {
                variant = variant.slot(slot, module);
            }
        }
        // Results stored one at a time are always f32, and there is no `output` slot.
        variant.input(self.input).output(self.output)
    }
}

/// Every variant for the tiles of a device.
pub(super) fn variants(caps: &Caps) -> Vec<Variant> {
    let mut all = Vec::new();
    for tile in Tile::all(caps) {
        for rows in [None, Some("windows")] {
            for weight in DType::WEIGHTS {
                // Convolutions are widened.
                if rows.is_some() && weight.is_for_matrices() {
                    continue;
                }
                let epilogues: &[_] = match rows {
                    None => &Epilogue::OF_MATRICES,
                    Some(_) => &Epilogue::OF_CONVOLUTIONS,
                };
                for &epilogue in epilogues {
                    for (input, output, single) in [
                        (DType::F32, DType::F32, false),
                        (DType::F16, DType::F32, false),
                        (DType::F16, DType::F16, false),
                        (DType::F32, DType::F16, false),
                        (DType::F32, DType::F32, true),
                        (DType::F16, DType::F32, true),
                    ] {
                        let operands = Operands {
                            rows,
                            input,
                            weight,
                            epilogue,
                            output,
                            single,
                        };
                        all.push(operands.variant(tile));
                    }
                }
            }
        }
    }
    all
}

/// Binds the rows `cols` of a weight, and their scales where the kernel wants them.
pub(super) fn bind_weight<'r, 'a>(
    builder: DispatchBuilder<'r, 'a>,
    kernel: Kernel,
    w: &Tensor,
    scales: Option<Range<u64>>,
    cols: Range<usize>,
    depth: usize,
) -> DispatchBuilder<'r, 'a> {
    let bytes = |row: usize| w.dtype.matrix_bytes(row.next_multiple_of(8), depth) as u64;
    let builder = builder.read_window(8, w, bytes(cols.start)..bytes(cols.end));
    match (kernel, scales) {
        (Kernel::Tiled(Tile::Coop(_)), Some(place)) => {
            let scale = |row: usize| place.start + 4 * row as u64;
            builder.read_window(9, w, scale(cols.start)..scale(cols.end))
        }
        _ => builder,
    }
}
