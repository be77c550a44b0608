//! Normalisations over the rows of a tensor.

use bytemuck::Zeroable;

use super::params::params;
use super::reduce::{Team, reduce};
use super::rope::Rope;
use super::split::rows_per_dispatch;
use crate::error::RecordError;
use crate::record::{Caps, DeviceClass, DispatchBuilder, Recorder, Tensor};
use crate::shader::{Slot, Variant};
use crate::tensor::DType;

params! {
    /// Params of `norm.wgsl`; those from `head4` on belong to the rotary embedding.
    NormParams for "norm" {
        rows: u32,
        cols4: u32,
        eps: f32,
        head4: u32,
        row_base: u32,
        grid_h: u32,
        grid_w: u32,
        pairs_t: u32,
        pairs_th: u32,
    }
}

/// What follows a layer norm.
#[derive(Clone, Copy, Debug)]
pub enum Affine<'t> {
    /// `gain[C] n + shift[C]`
    Gain {
        /// `[C]` f32
        gain: &'t Tensor,
        /// `[C]` f32
        shift: &'t Tensor,
    },
    /// `(1 + scale[index[M], C]) n + shift[index[M], C]`
    Modulation {
        /// [D, C] f32: one row a distinct timestep
        scale: &'t Tensor,
        /// [D, C] f32
        shift: &'t Tensor,
        /// `[M]` u32: which row a token takes
        index: &'t Tensor,
    },
}

impl Affine<'_> {
    fn module(&self) -> Option<&'static str> {
        match self {
            Self::Gain { .. } => None,
            Self::Modulation { .. } => Some("modulation"),
        }
    }

    fn check(&self, op: &'static str, rows: usize, cols: usize) -> Result<(), RecordError> {
        let must = |name, tensor: &Tensor, good: bool, expected: String| {
            if good {
                Ok(())
            } else {
                Err(RecordError::Shape {
                    op,
                    name,
                    found: tensor.shape,
                    expected,
                })
            }
        };
        match self {
            Self::Gain { gain, shift } => {
                must(
                    "gain",
                    gain,
                    gain.shape.count() == cols,
                    format!("[{cols}]"),
                )?;
                must(
                    "shift",
                    shift,
                    shift.shape.count() == cols,
                    format!("[{cols}]"),
                )
            }
            Self::Modulation {
                scale,
                shift,
                index,
            } => {
                must(
                    "scale",
                    scale,
                    scale.shape.last_dim() == cols,
                    format!("[_, {cols}]"),
                )?;
                let same =
                    shift.shape.last_dim() == cols && shift.shape.rows() == scale.shape.rows();
                must("shift", shift, same, format!("as scale {}", scale.shape))?;
                let good = index.shape.count() == rows && index.dtype == DType::U32;
                must("index", index, good, format!("u32 [{rows}]"))
            }
        }
    }

    fn bind<'r, 'a>(
        &self,
        builder: DispatchBuilder<'r, 'a>,
        first: usize,
        rows: usize,
    ) -> DispatchBuilder<'r, 'a> {
        match self {
            Self::Gain { gain, shift } => builder.read(3, gain).read(4, shift),
            Self::Modulation {
                scale,
                shift,
                index,
            } => builder.read(3, scale).read(4, shift).read_window(
                5,
                index,
                first as u64 * 4..(first + rows) as u64 * 4,
            ),
        }
    }
}

/// Invocations that share a row. On GPUs each loads three groups of a row of 1,536 columns, and a
/// processor holds enough rows to hide the loads; a software device runs one vector register.
pub(super) fn row_lanes(caps: &Caps) -> u32 {
    match caps.class {
        DeviceClass::Software => 8,
        _ => 128,
    }
}

/// The step after the normalisation of a row.
#[derive(Clone, Copy)]
pub(super) enum After<'t> {
    /// A layer norm's affine step; only a layer norm subtracts the mean.
    Affine(Affine<'t>),
    /// Times `gain[C]`.
    Gain(&'t Tensor),
    /// Times `gain[C]`, then the rotary embedding.
    Rope(&'t Tensor, Rope<'t>),
}

impl After<'_> {
    fn centred(&self) -> bool {
        matches!(self, Self::Affine(_))
    }

    fn module(&self) -> Option<&'static str> {
        match self {
            Self::Affine(affine) => affine.module(),
            Self::Gain(_) => Some("gain"),
            Self::Rope(..) => Some("rope"),
        }
    }

    /// Floating-point operations an element.
    fn flops(&self) -> u64 {
        match self {
            Self::Affine(_) => 8,
            Self::Gain(_) => 4,
            Self::Rope(..) => 7,
        }
    }

    /// The params of this step for the rows `first ..` of a tensor.
    fn params(&self, first: usize) -> NormParams {
        let none = NormParams::zeroed();
        match self {
            Self::Affine(_) | Self::Gain(_) => none,
            Self::Rope(_, rope) => {
                let [_, h, w] = rope.grid.tokens;
                let [t, y, x] = rope.grid.pairs;
                NormParams {
                    head4: ((t + y + x) / 2) as u32,
                    row_base: (rope.first + first) as u32,
                    grid_h: h as u32,
                    grid_w: w as u32,
                    pairs_t: t as u32,
                    pairs_th: (t + y) as u32,
                    ..none
                }
            }
        }
    }

    fn bind<'r, 'a>(
        &self,
        builder: DispatchBuilder<'r, 'a>,
        first: usize,
        rows: usize,
    ) -> DispatchBuilder<'r, 'a> {
        match self {
            Self::Affine(affine) => affine.bind(builder, first, rows),
            Self::Gain(gain) => builder.read(3, gain),
            Self::Rope(gain, rope) => builder.read(3, gain).read(4, rope.table),
        }
    }
}

fn variant(caps: &Caps, output: DType, centred: bool, affine: Option<&'static str>) -> Variant {
    let variant = reduce(Variant::new("norm"), caps, Team::of_all(row_lanes(caps)))
        .set("CENTRED", u32::from(centred))
        .output(output);
    match affine {
        Some(module) => variant.slot(Slot::Affine, module),
        None => variant,
    }
}

pub(super) fn variants(caps: &Caps) -> Vec<Variant> {
    let of = |output| {
        [
            variant(caps, output, true, None),
            variant(caps, output, true, Some("modulation")),
            variant(caps, output, false, Some("gain")),
            variant(caps, output, false, Some("rope")),
        ]
    };
    [DType::F32, DType::F16].into_iter().flat_map(of).collect()
}

/// Checks the input of a norm and returns its rows and columns.
pub(super) fn checked(op: &'static str, x: &Tensor) -> Result<[usize; 2], RecordError> {
    let [rows, cols] = [x.shape.rows(), x.shape.last_dim()];
    if x.dtype != DType::F32 {
        let expected = "f32".to_owned();
        return Err(RecordError::Shape {
            op,
            name: "x",
            found: x.shape,
            expected,
        });
    }
    if cols == 0 || cols % 4 != 0 {
        return Err(RecordError::Size {
            op,
            name: "C",
            found: cols,
            expected: "a multiple of 4",
        });
    }
    Ok([rows, cols])
}

/// Records a norm of x, checked before, into y.
pub(super) fn record(
    rec: &mut Recorder<'_>,
    op: &'static str,
    x: &Tensor,
    y: &Tensor,
    eps: f32,
    after: After<'_>,
) -> Result<(), RecordError> {
    let [rows, cols] = [x.shape.rows(), x.shape.last_dim()];
    let variant = variant(rec.caps(), y.dtype, after.centred(), after.module());
    let chunk = rows_per_dispatch(rec.caps(), rows, cols, after.flops() * cols as u64);
    for first in (0..rows).step_by(chunk) {
        let count = chunk.min(rows - first);
        let window =
            |size: usize| (first * cols * size) as u64..((first + count) * cols * size) as u64;
        let builder = rec
            .dispatch(op, variant.clone())
            .read_window(1, x, window(4))
            .write_window(2, y, window(y.dtype.size()))
            .params(&NormParams {
                rows: count as u32,
                cols4: (cols / 4) as u32,
                eps,
                ..after.params(first)
            })
            .flops(after.flops() * (count * cols) as u64);
        after.bind(builder, first, count).launch_folded(count)?;
    }
    Ok(())
}

/// `affine((x - mean) / sqrt(variance + eps))` over each row, with the population's variance.
///
/// | tensor | shape | dtype |
/// |---|---|---|
/// | x | [.., C] | f32, C a multiple of 4 |
/// | result | [M, C] | f32, f16 where what feeds products may be |
///
/// # Errors
/// Shapes that do not match.
pub fn layer_norm(
    rec: &mut Recorder<'_>,
    x: &Tensor,
    eps: f32,
    affine: Affine<'_>,
) -> Result<Tensor, RecordError> {
    const OP: &str = "layer_norm";
    let [rows, cols] = checked(OP, x)?;
    affine.check(OP, rows, cols)?;
    let y = rec.intermediate(OP, [rows, cols], rec.activations());
    record(rec, OP, x, &y, eps, After::Affine(affine))?;
    Ok(y)
}

/// `gain x / sqrt(mean(x^2) + eps)` over each row: T5's layer norm, and Wan's norm of q and k
/// across heads. `into` another tensor where given.
///
/// | tensor | shape | dtype |
/// |---|---|---|
/// | x | [.., C] | f32, C a multiple of 4 |
/// | gain | `[C]` | f32 |
/// | result | [M, C] | f32, f16 where what feeds products may be |
///
/// # Errors
/// Shapes that do not match.
pub fn rms_norm(
    rec: &mut Recorder<'_>,
    x: &Tensor,
    gain: &Tensor,
    eps: f32,
    into: Option<&Tensor>,
) -> Result<Tensor, RecordError> {
    const OP: &str = "rms_norm";
    let [rows, cols] = checked(OP, x)?;
    if gain.shape.count() != cols {
        let expected = format!("[{cols}] to match x {}", x.shape);
        return Err(RecordError::Shape {
            op: OP,
            name: "gain",
            found: gain.shape,
            expected,
        });
    }
    let dtype = rec.activations();
    let y = match into {
        Some(y) if *y.shape == [rows, cols] && y.dtype == dtype => *y,
        Some(y) => {
            let expected = format!("{dtype} [{rows}, {cols}]");
            return Err(RecordError::Shape {
                op: OP,
                name: "y",
                found: y.shape,
                expected,
            });
        }
        None => rec.intermediate(OP, [rows, cols], dtype),
    };
    record(rec, OP, x, &y, eps, After::Gain(gain))?;
    Ok(y)
}

/// `gain x / sqrt(mean(x^2) + eps)` over each row, then rotates the column pairs
/// (2 i, 2 i + 1) of each head by the angles of the row's position.
///
/// | tensor | shape | dtype |
/// |---|---|---|
/// | x | [M, H D]: tokens from `rope.first` on | f32, D a multiple of 4 |
/// | gain | `[H D]` | f32 |
/// | result, or `into` | [M, H D] | f32, f16 where what feeds products may be |
///
/// # Errors
/// Shapes that do not match.
pub fn norm_rope(
    rec: &mut Recorder<'_>,
    x: &Tensor,
    gain: &Tensor,
    eps: f32,
    rope: &Rope<'_>,
    into: Option<&Tensor>,
) -> Result<Tensor, RecordError> {
    const OP: &str = "norm_rope";
    let Rope { table, grid, .. } = *rope;
    let wrong = |name, tensor: &Tensor, expected: String| RecordError::Shape {
        op: OP,
        name,
        found: tensor.shape,
        expected,
    };
    let [rows, cols] = checked(OP, x)?;
    let head = 2 * grid.pairs.iter().sum::<usize>();
    if head == 0 || head % 4 != 0 {
        return Err(RecordError::Size {
            op: OP,
            name: "D",
            found: head,
            expected: "a multiple of 4",
        });
    }
    let [t, h, w] = grid.tokens;
    if rope.first + rows > t * h * w || cols % head != 0 {
        let left = (t * h * w).saturating_sub(rope.first);
        let expected = format!("f32 [at most {left}, a multiple of {head}]");
        return Err(wrong("x", x, expected));
    }
    if gain.shape.count() != cols {
        return Err(wrong("gain", gain, format!("[{cols}]")));
    }
    if table.shape.count() < grid.positions() * head {
        let expected = format!("[{}, {}, 2]", grid.positions(), head / 2);
        return Err(wrong("table", table, expected));
    }
    let dtype = rec.activations();
    let y = match into {
        Some(y) if *y.shape == [rows, cols] && y.dtype == dtype => *y,
        Some(y) => return Err(wrong("y", y, format!("{dtype} [{rows}, {cols}]"))),
        None => rec.intermediate(OP, [rows, cols], dtype),
    };
    record(rec, OP, x, &y, eps, After::Rope(gain, *rope))?;
    Ok(y)
}
