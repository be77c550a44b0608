//! Matrix products with the weights of a linear layer.

pub use super::epilogue::Epilogue;
use super::gemm::{Operands, ProductParams, bind_weight};
use super::params::params;
use super::register_tiles::{self, Tile};
use super::split::{cols_per_dispatch, lanes, rows_per_dispatch};
use super::tiles::{self, Kernel, Problem};
use super::weight_module::weight_module;
use crate::error::RecordError;
use crate::record::{Caps, Recorder, Tensor};
use crate::shader::{Slot, Variant};
use crate::tensor::DType;

params! {
    /// Params of `matmul.wgsl`.
    MatmulParams for "matmul" {
        rows: u32,
        cols: u32,
        col_base: u32,
        col_end: u32,
        depth4: u32,
        out_cols: u32,
    }
}

impl From<MatmulParams> for ProductParams {
    /// A product with a matrix: nothing of a convolution.
    fn from(of: MatmulParams) -> Self {
        Self {
            rows: of.rows,
            cols: of.cols,
            col_base: of.col_base,
            col_end: of.col_end,
            depth4: of.depth4,
            out_cols: of.out_cols,
            ..bytemuck::Zeroable::zeroed()
        }
    }
}

const OP: &str = "matmul";

fn variant(
    caps: &Caps,
    tile: Tile,
    input: DType,
    weight: Option<&'static str>,
    epilogue: Option<&'static str>,
) -> Variant {
    let mut variant = Variant::new("matmul")
        .tile("TILE_ROWS", tile.rows)
        .tile("TILE_COLS", tile.cols)
        .set("LANES", lanes(caps))
        .input(input);
    if let Some(module) = weight {
        variant = variant.slot(Slot::Weight, module);
    }
    if let Some(module) = epilogue {
        variant = variant.slot(Slot::Epilogue, module);
    }
    variant
}

pub(super) fn variants(caps: &Caps) -> Vec<Variant> {
    let mut all = Vec::new();
    for tile in register_tiles::all_for_matmul(caps) {
        for weight in DType::WEIGHTS.map(weight_module) {
            for epilogue in Epilogue::OF_MATRICES {
                for input in [DType::F32, DType::F16] {
                    all.push(variant(caps, tile, input, weight, epilogue));
                }
            }
        }
    }
    all
}

/// `y = epilogue(x w^T)`: a linear layer.
///
/// | tensor | shape | dtype |
/// |---|---|---|
/// | x | [.., K], padded with zeros to a multiple of 4 columns | f32, f16 |
/// | w | [N, K] | any of [`DType::WEIGHTS`] whose block K is a multiple of |
/// | y | [.., N]; `into` may be wider, its further columns become 0 | f32; `into` may be f16 where [`Recorder::activations`] is and its columns are a multiple of 4 |
///
/// Rows, and rows of the weight, are split over dispatches where a window would exceed the device's
/// binding limit or one dispatch would run too long; the order of each sum over K stays the same.
///
/// # Errors
/// Shapes or element types that do not match.
pub fn matmul(
    rec: &mut Recorder<'_>,
    x: &Tensor,
    w: &Tensor,
    epilogue: Epilogue<'_>,
    into: Option<&Tensor>,
) -> Result<Tensor, RecordError> {
    let [n, k] = w.dims(OP, "w")?;
    let rows = x.shape.rows();
    // The weight is padded on the device, x by whoever wrote it.
    let depth = k.next_multiple_of(4);
    check(x, w, [n, k])?;
    let y = match into {
        Some(y) if y.shape.rows() == rows && y.shape.last_dim() >= n => *y,
        Some(y) => {
            let expected = format!("[{rows}, {n}] or wider");
            return Err(wrong("y", y, expected));
        }
        None => rec.intermediate(OP, [rows, n], DType::F32),
    };
    let out_cols = y.shape.last_dim();
    epilogue.check_padded(OP, rows, n, out_cols)?;
    let kernel = tiles::kernel(
        rec.caps(),
        &Problem {
            rows,
            cols: out_cols,
            by_fours: true,
            half: rec.may_round(w),
            result: y.dtype,
        },
    );
    let caps = rec.caps();
    let single = !out_cols.is_multiple_of(4);
    let (variant, tile) = match kernel {
        Kernel::Tiled(_) if single && y.dtype != DType::F32 => {
            return Err(wrong("y", &y, "f16 of a multiple of 4 columns".into()));
        }
        Kernel::Tiled(tile) => {
            let operands = Operands {
                rows: None,
                input: x.dtype,
                weight: w.dtype,
                epilogue: epilogue.module(),
                output: y.dtype,
                single,
            };
            (operands.variant(tile), [tile.rows(), tile.cols()])
        }
        Kernel::Vector(vector) => {
            let variant = vector.variant(caps, x.dtype, w.dtype, epilogue.module());
            (variant, vector.edges())
        }
        Kernel::Plain if y.dtype == DType::F32 => {
            let tile = register_tiles::for_matmul(caps, rows, w.dtype);
            let weight = weight_module(w.dtype);
            let variant = variant(caps, tile, x.dtype, weight, epilogue.module());
            let edges = [tile.rows, tile.cols * lanes(caps)];
            (variant, edges.map(|edge| edge as usize))
        }
        Kernel::Plain => return Err(wrong("y", &y, "f32 on this device".into())),
    };
    let widest = (depth * x.dtype.size()).max(out_cols * 4);
    let chunk = rows_per_dispatch(caps, rows, widest.div_ceil(4), 2 * (n * k) as u64);
    let wide = cols_per_dispatch(caps, n, w.dtype.matrix_bytes(8, depth) / 8);
    let scales = rec.scales(w);
    for first in (0..rows).step_by(chunk) {
        let count = chunk.min(rows - first);
        let window = |row: usize| (first * row) as u64..((first + count) * row) as u64;
        for col in (0..n).step_by(wide) {
            let end = if col + wide >= n {
                out_cols
            } else {
                col + wide
            };
            let some = wide.min(n - col);
            let params = MatmulParams {
                rows: count as u32,
                cols: n as u32,
                col_base: col as u32,
                col_end: end as u32,
                depth4: (depth / 4) as u32,
                out_cols: out_cols as u32,
            };
            let builder = rec
                .dispatch(OP, variant.clone())
                .read_window(1, x, window(depth * x.dtype.size()))
                .write_window(2, &y, window(out_cols * y.dtype.size()))
                .flops(2 * (count * some * k) as u64);
            let builder = bind_weight(builder, kernel, w, scales.clone(), col..col + some, depth);
            let builder = match kernel {
                Kernel::Plain => builder.params(&params),
                Kernel::Vector(_) | Kernel::Tiled(_) => {
                    builder.params(&ProductParams::from(params))
                }
            };
            let groups = (end - col).div_ceil(tile[1]) * count.div_ceil(tile[0]);
            epilogue.bind(builder, first, count).launch_folded(groups)?;
        }
    }
    Ok(y)
}

fn wrong(name: &'static str, tensor: &Tensor, expected: String) -> RecordError {
    RecordError::Shape {
        op: OP,
        name,
        found: tensor.shape,
        expected,
    }
}

/// x must match w [N, K].
fn check(x: &Tensor, w: &Tensor, [_, k]: [usize; 2]) -> Result<(), RecordError> {
    let depth = k.next_multiple_of(4);
    if x.shape.last_dim() != depth || !matches!(x.dtype, DType::F32 | DType::F16) {
        let expected = format!("f32 or f16 [.., {depth}] to match w {}", w.shape);
        return Err(wrong("x", x, expected));
    }
    if k == 0 {
        return Err(RecordError::Size {
            op: OP,
            name: "K",
            found: k,
            expected: "at least 1",
        });
    }
    if !k.is_multiple_of(w.dtype.block()) {
        return Err(RecordError::Size {
            op: OP,
            name: "K",
            found: k,
            expected: "a multiple of the block of the weight's element type",
        });
    }
    Ok(())
}
