//! Rotary position embedding over a grid of tokens, of what a norm gives.

use super::norm::{After, checked, record};
use crate::error::RecordError;
use crate::record::{Recorder, Tensor};

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
    if turn.first + rows > t * h * w || cols % head != 0 {
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
    record(rec, OP, x, &y, eps, After::Turn(gain, *turn))?;
    Ok(y)
}
