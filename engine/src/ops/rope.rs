//! Rotary position embedding over a grid of tokens.

use super::matmul::{lanes, rows_per_dispatch};
use super::params::params;
use crate::error::RecordError;
use crate::record::{Caps, Recorder, Tensor};
use crate::shader::Variant;
use crate::tensor::DType;

params! {
    /// Params of `rope.wgsl`.
    RopeParams for "rope" {
        count4: u32,
        cols4: u32,
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

fn variant(caps: &Caps) -> Variant {
    Variant::new("rope").set("LANES", lanes(caps))
}

pub(super) fn variants(caps: &Caps) -> Vec<Variant> {
    vec![variant(caps)]
}

/// Turns the pairs of columns (2 i, 2 i + 1) of each head by its token's position, in place.
///
/// | tensor | shape | dtype |
/// |---|---|---|
/// | x | [T h w, H D] | f32, D a multiple of 4 |
/// | table | [P, D/2, 2] | f32, from [`RopeGrid::table`] |
///
/// # Errors
/// Shapes that do not match.
pub fn rope(
    rec: &mut Recorder<'_>,
    x: &Tensor,
    table: &Tensor,
    grid: &RopeGrid,
) -> Result<(), RecordError> {
    const OP: &str = "rope";
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
    if rows != t * h * w || cols % head != 0 || x.dtype != DType::F32 {
        let expected = format!("f32 [{}, a multiple of {head}]", t * h * w);
        return Err(RecordError::Shape {
            op: OP,
            name: "x",
            found: x.shape,
            expected,
        });
    }
    if table.shape.count() < grid.positions() * head {
        let expected = format!("[{}, {}, 2]", grid.positions(), head / 2);
        return Err(RecordError::Shape {
            op: OP,
            name: "table",
            found: table.shape,
            expected,
        });
    }
    let variant = variant(rec.caps());
    let lanes = lanes(rec.caps()) as usize;
    let chunk = rows_per_dispatch(rec.caps(), rows, cols, 3 * cols as u64);
    for first in (0..rows).step_by(chunk) {
        let count = chunk.min(rows - first);
        let count4 = count * cols / 4;
        rec.dispatch(OP, variant.clone())
            .update_window(
                1,
                x,
                (first * cols * 4) as u64..((first + count) * cols * 4) as u64,
            )
            .read(2, table)
            .params(&RopeParams {
                count4: count4 as u32,
                cols4: (cols / 4) as u32,
                head4: (head / 4) as u32,
                row_base: first as u32,
                grid_h: h as u32,
                grid_w: w as u32,
                pairs_t: grid.pairs[0] as u32,
                pairs_th: (grid.pairs[0] + grid.pairs[1]) as u32,
            })
            .flops(3 * (count * cols) as u64)
            .launch_folded(count4.div_ceil(lanes))?;
    }
    Ok(())
}
