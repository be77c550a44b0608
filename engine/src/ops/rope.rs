//! Rotary position embedding over a grid of tokens, of what a norm gives.

use super::matmul::rows_per_dispatch;
use super::norm::row_lanes;
use super::params::params;
use crate::error::RecordError;
use crate::record::{Caps, Recorder, Tensor};
use crate::shader::Variant;
use crate::tensor::DType;

params! {
    /// Params of `norm_rope.wgsl`.
    NormRopeParams for "norm_rope" {
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

/// Where tokens stand and how many pairs of a head turn along each axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RopeGrid {
    /// Tokens along t, y and x.
    pub tokens: [usize; 3],
    /// Pairs of a head that turn along t, y and x; together D / 2.
    pub pairs: [usize; 3],
}

impl RopeGrid {
    /// Wan's split of a head of D: `2 (D / 6)` columns each for y and x, the rest for t
    /// (`WanRotaryPosEmbed` of diffusers).
    pub fn wan(head_size: usize, tokens: [usize; 3]) -> Self {
        let side = head_size / 6;
        Self {
            tokens,
            pairs: [head_size / 2 - 2 * side, side, side],
        }
    }

    /// Positions the table must have: as many as the longest axis has tokens.
    pub fn positions(&self) -> usize {
        self.tokens.into_iter().max().unwrap_or(0)
    }

    /// The angles' (cos, sin) as f32, [P, D/2, 2], computed in f64: pair i of an axis with n pairs
    /// turns by `position / theta^(i / n)`.
    pub fn table(&self, theta: f64) -> Vec<f32> {
        let mut table = Vec::with_capacity(self.positions() * self.pairs.iter().sum::<usize>() * 2);
        for position in 0..self.positions() {
            for pairs in self.pairs {
                for i in 0..pairs {
                    let angle = position as f64 / theta.powf(i as f64 / pairs as f64);
                    table.extend([angle.cos() as f32, angle.sin() as f32]);
                }
            }
        }
        table
    }
}

fn variant(caps: &Caps, output: DType) -> Variant {
    Variant::new("norm_rope")
        .set("LANES", row_lanes(caps))
        .output(output)
}

pub(super) fn variants(caps: &Caps) -> Vec<Variant> {
    vec![variant(caps, DType::F32), variant(caps, DType::F16)]
}

/// How rows are turned.
#[derive(Clone, Copy, Debug)]
pub struct Turn<'t> {
    /// [P, D/2, 2] f32, from [`RopeGrid::table`]
    pub table: &'t Tensor,
    /// Where tokens stand.
    pub grid: &'t RopeGrid,
    /// The token of the first row.
    pub first: usize,
}

/// `gain x / sqrt(mean(x^2) + eps)` over each row, then the pairs of columns (2 i, 2 i + 1) of each
/// head turned by the row's position.
///
/// | tensor | shape | dtype |
/// |---|---|---|
/// | x | [M, H D]: tokens from `turn.first` on | f32, D a multiple of 4 |
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
    turn: &Turn<'_>,
    into: Option<&Tensor>,
) -> Result<Tensor, RecordError> {
    const OP: &str = "norm_rope";
    let Turn { table, grid, .. } = *turn;
    let wrong = |name, tensor: &Tensor, expected: String| RecordError::Shape {
        op: OP,
        name,
        found: tensor.shape,
        expected,
    };
    let [rows, cols] = [x.shape.rows(), x.shape.last_dim()];
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
    if turn.first + rows > t * h * w || cols % head != 0 || x.dtype != DType::F32 {
        let left = (t * h * w).saturating_sub(turn.first);
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
    let variant = variant(rec.caps(), y.dtype);
    let chunk = rows_per_dispatch(rec.caps(), rows, cols, 7 * cols as u64);
    for first in (0..rows).step_by(chunk) {
        let count = chunk.min(rows - first);
        let window =
            |size: usize| (first * cols * size) as u64..((first + count) * cols * size) as u64;
        rec.dispatch(OP, variant.clone())
            .read_window(1, x, window(4))
            .write_window(2, &y, window(y.dtype.size()))
            .read(3, gain)
            .read(4, table)
            .params(&NormRopeParams {
                rows: count as u32,
                cols4: (cols / 4) as u32,
                eps,
                head4: (head / 4) as u32,
                row_base: (turn.first + first) as u32,
                grid_h: h as u32,
                grid_w: w as u32,
                pairs_t: grid.pairs[0] as u32,
                pairs_th: (grid.pairs[0] + grid.pairs[1]) as u32,
            })
            .flops(7 * (count * cols) as u64)
            .launch_folded(count)?;
    }
    Ok(y)
}
