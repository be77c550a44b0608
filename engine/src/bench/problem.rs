//! What a bench computes, and how much work that is.

use super::step::{Part, Step};
use crate::error::Error;
use crate::ops::attention::{AttentionShape, Bias, attention};
use crate::ops::ceiling::{coop, coop_edge, coop_flops, copy, fma, fma_flops};
use crate::ops::channel_norm::channel_norm;
use crate::ops::conv3d::{Conv, conv3d};
use crate::ops::matmul::{Epilogue, matmul};
use crate::ops::norm::norm_rope;
use crate::ops::norm::{Affine, layer_norm, rms_norm};
use crate::ops::rope::{Rope, RopeGrid};
use crate::ops::solver::solver_states;
use crate::record::{Caps, DeviceClass, Pack, Precision, Recorder, Recording};
use crate::tensor::DType;

/// What a bench computes. Activations are f16 where the device gains by it, as in the models
/// ([`Precision::F16`]), and f32 where the weights are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Problem {
    /// The ceiling of memory: a copy.
    Copy,
    /// The ceiling of f32 arithmetic: multiply-adds in registers.
    Fma,
    /// The ceiling of tensor cores: products of cooperative matrices in registers. Of devices that
    /// have them.
    Coop,
    /// A linear layer.
    Matmul {
        /// Element type of the weight.
        weight: DType,
        /// Rows of x.
        rows: usize,
        /// Rows of the weight.
        cols: usize,
        /// Columns of both.
        depth: usize,
    },
    /// An attention over all heads.
    Attention {
        /// H
        heads: usize,
        /// Rows of q.
        queries: usize,
        /// Rows of k and v.
        keys: usize,
        /// D
        head_size: usize,
    },
    /// A causal convolution, kernel 3x3x3, f16 weights, two frames before the first.
    Conv3d {
        /// C
        inputs: usize,
        /// N
        outputs: usize,
        /// Frames, height, width.
        size: [usize; 3],
    },
    /// A layer norm with modulation of rows and columns.
    LayerNorm([usize; 2]),
    /// An RMS norm of rows and columns.
    RmsNorm([usize; 2]),
    /// The autoencoder's norm with SiLU, of pixels and channels.
    ChannelNorm([usize; 2]),
    /// An RMS norm over all heads and the rotary embedding.
    NormRope {
        /// Tokens along t, y, x.
        grid: [usize; 3],
        /// H
        heads: usize,
        /// D
        head_size: usize,
    },
    /// Guidance and solver step over that many elements.
    Solver(usize),
    /// A whole forward pass of a transformer.
    Step(Step),
}

/// What the time of a bench is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Floating-point operations.
    Flops(u64),
    /// Bytes read and written at least.
    Bytes(u64),
}

impl Problem {
    pub(super) fn matmul(weight: DType, [rows, cols, depth]: [usize; 3]) -> Self {
        Self::Matmul {
            weight,
            rows,
            cols,
            depth,
        }
    }

    pub(super) fn attention([heads, queries, keys, head_size]: [usize; 4]) -> Self {
        Self::Attention {
            heads,
            queries,
            keys,
            head_size,
        }
    }

    pub(super) fn convolution([inputs, outputs, t, h, w]: [usize; 5]) -> Self {
        Self::Conv3d {
            inputs,
            outputs,
            size: [t, h, w],
        }
    }

    /// The same with sizes that every device runs in no time: what tests run.
    #[must_use]
    pub fn small(self) -> Self {
        match self {
            Self::Copy | Self::Fma | Self::Coop => self,
            Self::Matmul {
                weight,
                rows,
                cols,
                depth,
            } => {
                // Whole blocks of the weight's type.
                let depth = depth.min(96.max(weight.block()));
                Self::matmul(weight, [rows.min(33), cols.min(72), depth])
            }
            Self::Attention {
                heads,
                queries,
                keys,
                head_size,
            } => Self::attention([heads.min(2), queries.min(33), keys.min(40), head_size]),
            Self::Conv3d {
                inputs,
                outputs,
                size: [t, h, w],
            } => Self::convolution([
                inputs.min(32),
                outputs.min(32),
                t.min(2),
                h.min(6),
                w.min(17),
            ]),
            Self::LayerNorm([rows, cols]) => Self::LayerNorm([rows.min(9), cols]),
            Self::RmsNorm([rows, cols]) => Self::RmsNorm([rows.min(9), cols]),
            Self::ChannelNorm([rows, channels]) => Self::ChannelNorm([rows.min(99), channels]),
            Self::NormRope {
                grid,
                heads,
                head_size,
            } => Self::NormRope {
                grid: grid.map(|tokens| tokens.min(3)),
                heads,
                head_size,
            },
            Self::Solver(count) => Self::Solver(count.min(1000)),
            Self::Step(_) => Self::Step(Step {
                layers: 1,
                latents: [16, 1, 4, 4],
            }),
        }
    }

    /// The loops that show what a device can do at most.
    pub fn ceilings(caps: &Caps) -> Vec<Self> {
        let mut all = vec![Self::Copy, Self::Fma];
        all.extend(coop_edge(caps).map(|_| Self::Coop));
        all
    }

    /// Whether the device has what it takes.
    pub fn is_possible(self, caps: &Caps) -> bool {
        self != Self::Coop || coop_edge(caps).is_some()
    }

    /// What is computed, in which element type and at which sizes, in the order of this type's
    /// fields: for programs that measure the same elsewhere.
    pub fn describe(self) -> (&'static str, DType, Vec<usize>) {
        let (name, sizes) = match self {
            Self::Copy => ("copy", vec![]),
            Self::Fma => ("fma", vec![]),
            Self::Coop => ("coop", vec![]),
            Self::Matmul {
                weight,
                rows,
                cols,
                depth,
            } => return ("matmul", weight, vec![rows, cols, depth]),
            Self::Attention {
                heads,
                queries,
                keys,
                head_size,
            } => {
                let sizes = vec![heads, queries, keys, head_size];
                return ("attention", DType::F16, sizes);
            }
            Self::Conv3d {
                inputs,
                outputs,
                size: [t, h, w],
            } => return ("conv3d", DType::F16, vec![inputs, outputs, t, h, w]),
            Self::LayerNorm(sizes) => ("layer_norm", sizes.to_vec()),
            Self::RmsNorm(sizes) => ("rms_norm", sizes.to_vec()),
            Self::ChannelNorm(sizes) => ("channel_norm", sizes.to_vec()),
            Self::NormRope {
                grid: [t, h, w],
                heads,
                head_size,
            } => ("norm_rope", vec![t, h, w, heads, head_size]),
            Self::Solver(count) => ("solver", vec![count]),
            Self::Step(Step {
                layers,
                latents: [c, t, h, w],
            }) => return ("step", DType::BF16, vec![layers, c, t, h, w]),
        };
        (name, DType::F32, sizes)
    }

    /// Whether this is a ceiling: its size is the device's matter.
    pub fn is_ceiling(self) -> bool {
        matches!(self, Self::Copy | Self::Fma | Self::Coop)
    }

    /// Floating-point operations where they are what takes the time.
    fn flops(self, caps: &Caps) -> Option<u64> {
        match self {
            Self::Fma => {
                let (count, rounds) = fma_size(caps);
                Some(fma_flops(count, rounds))
            }
            Self::Coop => {
                let (edge, groups, rounds) = coop_size(caps)?;
                Some(coop_flops(edge, groups, rounds))
            }
            Self::Matmul {
                rows, cols, depth, ..
            } => (rows > 1).then_some(2 * (rows * cols * depth) as u64),
            Self::Attention {
                heads,
                queries,
                keys,
                head_size,
            } => Some(4 * (heads * queries * keys * head_size) as u64),
            Self::Conv3d {
                inputs,
                outputs,
                size: [t, h, w],
            } => Some(2 * 27 * (inputs * outputs * t * h * w) as u64),
            _ => None,
        }
    }

    /// Operations where arithmetic takes the time, else the bytes that the recording touches.
    pub fn work(self, caps: &Caps) -> Result<Work, Error> {
        Ok(match (self.flops(caps), self) {
            (Some(flops), _) => Work::Flops(flops),
            (None, Self::Step(step)) => Work::Flops(step.record(caps)?.flops()),
            (None, _) => Work::Bytes(self.record(caps)?.traffic()),
        })
    }

    /// The recordings of one plan, and the order in which a run takes them: by number, each with
    /// the block whose weights it has.
    ///
    /// # Errors
    /// Sizes that the device cannot take.
    pub(super) fn recordings(self, caps: &Caps) -> Result<(Vec<Recording>, Vec<Part>), Error> {
        if let Self::Step(step) = self {
            let passes = step.record(caps)?;
            let recordings = passes.recordings();
            let parts = step.parts(&recordings);
            return Ok((recordings.into_iter().cloned().collect(), parts));
        }
        Ok((vec![self.record(caps)?], vec![(0, None)]))
    }

    /// Records a kernel's run.
    fn record(self, caps: &Caps) -> Result<Recording, Error> {
        let precision = match self {
            Self::Matmul {
                weight: DType::F32, ..
            } => Precision::F32,
            _ => Precision::F16,
        };
        let caps = precision.limit(caps);
        let mut rec = Recorder::new(&caps);
        self.record_into(&mut rec)?;
        Ok(rec.finish())
    }

    fn record_into(self, rec: &mut Recorder<'_>) -> Result<(), Error> {
        let activations = rec.activations();
        match self {
            Self::Copy => {
                let count = copy_size(rec.caps());
                let x = rec.input("x", [count], DType::F32)?;
                copy(rec, &x)?;
            }
            Self::Fma => {
                let (count, rounds) = fma_size(rec.caps());
                let x = rec.input("x", [count], DType::F32)?;
                fma(rec, &x, rounds, [0.5, 0.25])?;
            }
            Self::Coop => {
                // Without such matrices, sizes that the op refuses.
                let (edge, groups, rounds) = coop_size(rec.caps()).unwrap_or((1, 1, 1));
                let x = rec.input("x", [4 * edge, edge], DType::F16)?;
                let w = rec.input("w", [4 * edge, edge], DType::F16)?;
                coop(rec, &x, &w, groups, rounds)?;
            }
            Self::Matmul {
                weight,
                rows,
                cols,
                depth,
            } => {
                let x = rec.input("x", [rows, depth], activations)?;
                let w = rec.weight("w", [cols, depth], weight, Pack::Matrix)?;
                matmul(rec, &x, &w, Epilogue::None, None)?;
            }
            Self::Attention {
                heads,
                queries,
                keys,
                head_size,
            } => {
                let q = rec.input("q", [queries, heads * head_size], activations)?;
                let k = rec.input("k", [keys, heads * head_size], activations)?;
                let v = rec.input("v", [keys, heads * head_size], activations)?;
                let shape = AttentionShape {
                    heads,
                    head_size,
                    scale: (head_size as f32).sqrt().recip(),
                };
                let [q, k, v] = [&q, &k, &v].map(Into::into);
                attention(rec, q, k, v, shape, Bias::None)?;
            }
            Self::Conv3d {
                inputs,
                outputs,
                size: [t, h, w],
            } => {
                let x = rec.input("x", [t, h, w, inputs], DType::F32)?;
                let past = rec.state("past", [2, h, w, inputs], DType::F32)?;
                let shape = [outputs, inputs, 3, 3, 3];
                let weight = rec.weight("w", shape, DType::F16, Pack::Conv)?;
                conv3d(rec, &x, &Conv::causal(&weight, &past), Epilogue::None)?;
            }
            Self::LayerNorm([rows, cols]) => {
                let x = rec.input("x", [rows, cols], DType::F32)?;
                let scale = rec.input("scale", [1, cols], DType::F32)?;
                let shift = rec.input("shift", [1, cols], DType::F32)?;
                let index = rec.input("index", [rows], DType::U32)?;
                let affine = Affine::Modulation {
                    scale: &scale,
                    shift: &shift,
                    index: &index,
                };
                layer_norm(rec, &x, 1e-6, affine)?;
            }
            Self::RmsNorm([rows, cols]) => {
                let x = rec.input("x", [rows, cols], DType::F32)?;
                let gain = rec.input("gain", [cols], DType::F32)?;
                rms_norm(rec, &x, &gain, 1e-6, None)?;
            }
            Self::ChannelNorm([rows, channels]) => {
                let x = rec.input("x", [rows, channels], DType::F32)?;
                let gain = rec.input("gain", [channels], DType::F32)?;
                channel_norm(rec, &x, &gain, true)?;
            }
            Self::NormRope {
                grid,
                heads,
                head_size,
            } => {
                let rows = grid.iter().product();
                let grid = RopeGrid::wan(head_size, grid);
                let x = rec.input("x", [rows, heads * head_size], DType::F32)?;
                let shape = [grid.positions(), head_size / 2, 2];
                let table = rec.input("table", shape, DType::F32)?;
                let gain = rec.input("gain", [heads * head_size], DType::F32)?;
                let turn = Rope {
                    table: &table,
                    grid: &grid,
                    first: 0,
                };
                norm_rope(rec, &x, &gain, 1e-6, &turn, None)?;
            }
            Self::Solver(count) => {
                solver_states(rec, count)?;
            }
            // Of several recordings.
            Self::Step(_) => {}
        }
        Ok(())
    }
}

/// Elements of the copy: beyond every cache, within one binding.
fn copy_size(caps: &Caps) -> usize {
    let bytes = match caps.class {
        // Processors' caches are smaller, and a second is long for them.
        DeviceClass::Software | DeviceClass::Other => 64 << 20,
        _ => 512 << 20,
    };
    (caps.max_binding_bytes.min(bytes) / 16 * 4) as usize
}

/// Elements and rounds of the multiply-adds: as much as one dispatch may hold.
fn fma_size(caps: &Caps) -> (usize, u32) {
    let count: usize = match caps.class {
        DeviceClass::Software | DeviceClass::Other => 1 << 12,
        _ => 1 << 20,
    };
    let rounds = caps.dispatch_flops() / fma_flops(count, 1);
    (count, rounds.clamp(16, 1 << 20) as u32)
}

/// Edge, groups and rounds of the products: as much as one dispatch may hold.
fn coop_size(caps: &Caps) -> Option<(usize, usize, u32)> {
    let edge = coop_edge(caps)?;
    let (groups, flops) = match caps.class {
        // Software computes them one number at a time.
        DeviceClass::Software | DeviceClass::Other => (16, caps.dispatch_flops() / 16),
        _ => (4096, caps.dispatch_flops()),
    };
    let rounds = flops / coop_flops(edge, groups, 1);
    Some((edge, groups, rounds.clamp(16, 1 << 20) as u32))
}
