//! Rotary position embedding over a grid of tokens: positions and their table of angles.

use crate::record::Tensor;

/// The positions of tokens, and how many pairs of a head rotate along each axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RopeGrid {
    /// Tokens along t, y and x.
    pub tokens: [usize; 3],
    /// Pairs of a head that rotate by t, y and x; together D / 2.
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

/// The rotation of rows by their positions.
#[derive(Clone, Copy, Debug)]
pub struct Rope<'t> {
    /// [P, D/2, 2] f32, from [`RopeGrid::table`]
    pub table: &'t Tensor,
    /// The positions of tokens.
    pub grid: &'t RopeGrid,
    /// The token of the first row.
    pub first: usize,
}
