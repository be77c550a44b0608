//! Chooses the kernel and the tile of a product.
//!
//! Four kinds of kernel multiply: the plain ones (`matmul.wgsl`, `conv3d.wgsl`) use neither
//! workgroup memory nor barriers, `matvec.wgsl` shares the columns of a few rows among invocations,
//! `matmul_staged.wgsl` stages its operands as f32, and `matmul_coop.wgsl` as f16 for cooperative
//! matrices. The choice depends on the whole problem, never on a part of it, and every tile of a
//! kernel sums in the same order, so splitting over dispatches and tuning do not change a bit.

use super::matvec::Vector;
use crate::record::{Caps, DeviceClass};
use crate::tensor::DType;

/// A product, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Rows of the result.
    pub rows: usize,
    /// Columns of the result as it is stored.
    pub cols: usize,
    /// Whether the left operand can be read four at a time: its channels are a multiple of four.
    pub by_fours: bool,
    /// Whether operands may be rounded to f16.
    pub half: bool,
    /// Element type of the result.
    pub result: DType,
}

/// A kernel and its tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// No workgroup memory: `matmul.wgsl`, `conv3d.wgsl`.
    Plain,
    /// One to four rows: `matvec.wgsl`. Convolutions of so few pixels take the plain kernel.
    Vector(Vector),
    /// Operands staged in workgroup memory.
    Tiled(Tile),
}

/// A kernel on staged operands, and the tile of its workgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tile {
    /// `matmul_coop.wgsl`.
    Coop(Coop),
    /// `matmul_staged.wgsl`.
    Staged(Staged),
}

/// The tile of `matmul_staged.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Staged {
    /// Invocations along a side of the tile, 8 or 16; each computes 8 x 8 results.
    pub side: u32,
}

impl Staged {
    /// Groups of four f32 that a workgroup stages: rows of x, columns of w, both padded.
    pub fn stage4(self) -> u32 {
        self.side / 4 * (8 * self.side + 2 + 8 * (self.side + 2))
    }
}

impl Tile {
    /// Rows of results of a workgroup.
    pub fn rows(self) -> usize {
        match self {
            Self::Coop(coop) => coop.tile() as usize,
            Self::Staged(staged) => 8 * staged.side as usize,
        }
    }

    /// Columns of results of a workgroup.
    pub fn cols(self) -> usize {
        self.rows()
    }

    /// Every tile that a device may be given.
    pub fn all(caps: &Caps) -> Vec<Self> {
        let mut all = Vec::new();
        for rows in [16, 1 << 20] {
            for half in [false, true] {
                let problem = Problem {
                    rows,
                    cols: rows,
                    by_fours: true,
                    half,
                    result: DType::F32,
                };
                if let Kernel::Tiled(tile) = kernel(caps, &problem)
                    && !all.contains(&tile)
                {
                    all.push(tile);
                }
            }
        }
        all
    }
}

/// The tile of `matmul_coop.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Coop {
    /// Edge of the device's cooperative matrices.
    pub edge: u32,
    /// Subgroups along a side of the tile; each computes 4 x 4 matrices.
    pub side: u32,
    /// Invocations of a subgroup, at most.
    pub lanes: u32,
    /// Whether matrices are loaded from arrays of scalars.
    pub scalar: bool,
}

impl Coop {
    /// Rows and columns of results of a workgroup.
    pub fn tile(self) -> u32 {
        4 * self.edge * self.side
    }

    /// Invocations of a workgroup.
    fn invocations(self) -> u32 {
        self.side * self.side * self.lanes
    }

    /// Groups of four along K of one step: each invocation stages eight of either operand.
    fn step4(self) -> u32 {
        2 * self.side * self.lanes / self.edge
    }

    /// Groups of four f16 that a workgroup stages: rows of both operands, padded.
    pub fn stage4(self) -> u32 {
        2 * self.tile() * (self.step4() + 2)
    }

    /// Whether the workgroup is one that a device can run and the kernel was written for.
    fn fits(self, caps: &Caps) -> bool {
        let strip = self.side * self.edge * (self.tile() + 8);
        let step = 4 * self.step4();
        self.invocations() <= caps.max_invocations
            && self.stage4() * 8 + strip * 4 <= caps.workgroup_memory
            && step >= self.edge
            && step.is_multiple_of(self.edge)
            // Blocks of eight rows of a weight are staged whole.
            && self.invocations().is_multiple_of(8 * self.step4())
    }
}

/// The kernel for a product on a device: the first of these that applies.
///
/// - For one to four rows, on GPUs, columns shared among invocations: reading the weight dominates, and
///   with one invocation per column too few loads would be in flight.
/// - No workgroup memory for fewer than 16 rows, for channels that cannot be read four at a time,
///   and on software devices, where a barrier costs 5 to 10 times what it saves.
/// - Cooperative matrices where operands may be rounded.
/// - f32 operands staged in workgroup memory.
pub fn kernel(caps: &Caps, problem: &Problem) -> Kernel {
    let many = problem.rows >= FEW_ROWS || problem.result == DType::F16;
    if !many || !problem.by_fours || caps.class == DeviceClass::Software {
        let vector = Vector::choose(caps, problem.rows).filter(|_| !many);
        return vector.map_or(Kernel::Plain, Kernel::Vector);
    }
    if problem.half
        && let Some(coop) = coop(caps, problem)
    {
        return Kernel::Tiled(Tile::Coop(coop));
    }
    Kernel::Tiled(Tile::Staged(staged(caps, problem)))
}

/// The tile of f32 operands.
///
/// | class | tile | why |
/// |---|---|---|
/// | discrete | 128 x 128, 256 invocations | every value staged is used 128 times; not measured |
/// | few tiles; integrated, Apple and others | 64 x 64, 64 invocations | fills more cores, and less than 5 KiB of workgroup memory; not measured |
fn staged(caps: &Caps, problem: &Problem) -> Staged {
    let [large, small] = [16, 8].map(|side| Staged { side });
    let fits = caps.workgroup_memory >= 16 * large.stage4();
    let many = tiles(problem, 128) >= FEW_TILES;
    if caps.class == DeviceClass::Discrete && fits && many {
        large
    } else {
        small
    }
}

/// Tiles of that edge in a result.
fn tiles(problem: &Problem, edge: usize) -> usize {
    problem.rows.div_ceil(edge) * problem.cols.div_ceil(edge)
}

/// The tile on cooperative matrices.
///
/// | class | tile | why |
/// |---|---|---|
/// | 16 x 16 (NVIDIA, AMD) | 128 x 128, 4 subgroups of 64 x 64 | two matrices multiplied for each one loaded; not measured |
/// | 16 x 16, few tiles | 64 x 64, 1 subgroup | a device has more than a hundred cores to fill |
/// | 8 x 8 (Apple, lavapipe) | 64 x 64, 4 subgroups of 32 x 32 | not measured |
fn coop(caps: &Caps, problem: &Problem) -> Option<Coop> {
    if !caps.f16 {
        return None;
    }
    let edge = *caps.cooperative.last()?;
    let lanes = subgroup_lanes(caps)?;
    let with = |side| Coop {
        edge,
        side,
        lanes,
        scalar: caps.backend == "metal",
    };
    let large = with(2);
    let small = with(1);
    let small_is_better = tiles(problem, large.tile() as usize) < FEW_TILES;
    [(small, small_is_better), (large, true), (small, true)]
        .into_iter()
        .find(|(coop, wanted)| *wanted && coop.fits(caps))
        .map(|(coop, _)| coop)
}

/// Products of fewer rows use no workgroup memory.
pub(super) const FEW_ROWS: usize = 16;

/// Fewer workgroups than this leave cores of a large device idle (an H200 has 132).
pub(super) const FEW_TILES: usize = 128;

/// Invocations of a subgroup, at most. Metal names a range for all vendors; Apple's have 32.
pub(super) fn subgroup_lanes(caps: &Caps) -> Option<u32> {
    match caps.class {
        DeviceClass::Apple => Some(32),
        _ => caps.subgroups.map(|(_, most)| most),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(class: DeviceClass, edge: u32, subgroups: (u32, u32)) -> Caps {
        Caps {
            class,
            f16: true,
            cooperative: vec![edge],
            subgroups: Some(subgroups),
            workgroup_memory: 48 << 10,
            ..Caps::least()
        }
    }

    #[test]
    fn the_choice_is_this_table() {
        let nvidia = device(DeviceClass::Discrete, 16, (32, 32));
        let amd = Caps {
            workgroup_memory: 64 << 10,
            ..device(DeviceClass::Discrete, 16, (32, 64))
        };
        let apple = Caps {
            backend: "metal".into(),
            workgroup_memory: 32 << 10,
            ..device(DeviceClass::Apple, 8, (4, 64))
        };
        let lavapipe = device(DeviceClass::Software, 8, (8, 8));
        let narrow = Caps {
            workgroup_memory: 32 << 10,
            ..nvidia.clone()
        };
        let no_subgroups = Caps {
            subgroups: None,
            ..nvidia.clone()
        };
        let coop = |edge, side, lanes, scalar| {
            Kernel::Tiled(Tile::Coop(Coop {
                edge,
                side,
                lanes,
                scalar,
            }))
        };
        let vector = |caps, rows| Kernel::Vector(Vector::choose(caps, rows).unwrap());
        let staged = |side| Kernel::Tiled(Tile::Staged(Staged { side }));
        let half = Problem {
            rows: 32_760,
            cols: 1536,
            by_fours: true,
            half: true,
            result: DType::F32,
        };
        let few = Problem { rows: 512, ..half };
        let one = Problem { rows: 1, ..half };
        let three = Problem { rows: 3, ..half };
        let five = Problem { rows: 5, ..half };
        let stored_half = Problem {
            result: DType::F16,
            ..one
        };
        let odd = Problem {
            by_fours: false,
            ..half
        };
        for (caps, problem, expected) in [
            (&nvidia, half, coop(16, 2, 32, false)),
            (&nvidia, few, coop(16, 1, 32, false)),
            (&nvidia, one, vector(&nvidia, 1)),
            (&apple, three, vector(&apple, 3)),
            (&Caps::least(), one, vector(&Caps::least(), 1)),
            (&nvidia, five, Kernel::Plain),
            (&lavapipe, one, Kernel::Plain),
            (&nvidia, stored_half, coop(16, 1, 32, false)),
            (&nvidia, odd, Kernel::Plain),
            (&narrow, half, coop(16, 1, 32, false)),
            (&amd, half, coop(16, 2, 64, false)),
            (&apple, half, coop(8, 2, 32, true)),
            (&apple, few, coop(8, 2, 32, true)),
            (&lavapipe, half, Kernel::Plain),
            (&no_subgroups, half, staged(16)),
            (&no_subgroups, few, staged(8)),
            (
                &nvidia,
                Problem {
                    half: false,
                    ..half
                },
                staged(16),
            ),
            (
                &apple,
                Problem {
                    half: false,
                    ..half
                },
                staged(8),
            ),
            (
                &lavapipe,
                Problem {
                    half: false,
                    ..half
                },
                Kernel::Plain,
            ),
            (&Caps::least(), half, staged(8)),
        ] {
            assert_eq!(kernel(caps, &problem), expected, "{caps:?} {problem:?}");
        }
    }
}
