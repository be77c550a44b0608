//! Which kernel computes an attention, and on which tile.

use super::super::split::lanes;
use super::shape::{AttentionShape, Bias};
use super::staged::Staged;
use crate::record::{Caps, DeviceClass};
use crate::shader::{Slot, Variant};
use crate::tensor::DType;

/// The widest head whose sums one invocation, or one row of workgroup memory, holds.
const WIDEST: usize = 128;

/// A kernel and its tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kernel {
    /// `attention.wgsl`: no workgroup memory; an invocation has that many queries.
    Plain {
        /// Queries of an invocation.
        queries: u32,
    },
    /// `attention_coop.wgsl`.
    Coop(Coop),
    /// `attention_staged.wgsl`.
    Staged(Staged),
    /// Two products with a softmax between them.
    Wide,
}

/// The tile of `attention_coop.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Coop {
    /// Edge of the device's cooperative matrices.
    edge: u32,
    /// Blocks of `edge` queries of a workgroup.
    blocks: u32,
    /// Subgroups that share the columns of a block, 8 matrices each at most.
    parts: u32,
    /// Keys of a step.
    keys: u32,
    /// Invocations of a subgroup, at most.
    lanes: u32,
    /// Whether matrices are loaded from arrays of scalars.
    scalar: bool,
}

impl Coop {
    fn rows(self) -> u32 {
        self.edge * self.blocks
    }

    /// Groups of four f16 that a workgroup stages: queries, keys or values, shares; rows padded.
    fn stage4(self, head_size: u32) -> u32 {
        (self.rows() + self.keys) * (head_size / 4 + 2) + self.rows() * (self.keys / 4 + 2)
    }

    /// Bytes of workgroup memory: the stage, scores and a factor a row.
    fn bytes(self, head_size: u32) -> u32 {
        8 * self.stage4(head_size) + 4 * self.rows() * (self.keys + 5) + 4
    }

    /// Whether the workgroup is one that a device can run and the kernel was written for.
    fn fits(self, caps: &Caps, head_size: u32) -> bool {
        let lanes = self.parts * self.lanes;
        let team = lanes / self.edge;
        let columns = self.edge * self.parts;
        self.blocks * lanes <= caps.max_invocations
            && self.bytes(head_size) <= caps.workgroup_memory.min(SHARED_BYTES)
            && head_size.is_multiple_of(columns)
            && self.keys.is_multiple_of(2 * columns)
            && team.is_power_of_two()
            && team <= self.lanes
            && (self.keys / 4).is_multiple_of(team)
            && (self.keys * head_size / 4).is_multiple_of(self.blocks * lanes)
    }
}

/// Workgroup memory beyond this leaves a processor with one workgroup, which idles at barriers.
const SHARED_BYTES: u32 = 48 << 10;

/// The kernel for an attention of `queries` queries on a device. The choice depends on the whole op,
/// never on a part, so that splitting does not change the result.
///
/// | head, class | kernel | why |
/// |---|---|---|
/// | beyond 128 | two products | no register file holds the sums of a row; a product also gets tensor cores |
/// | operands may be f16 | cooperative matrices | their rate; tiles below |
/// | software | plain, 2 queries | each key is loaded once for both: at 12 heads of 128, 1,024 tokens, 16 to 21 GFLOP/s on lavapipe 26.1, 12 with one query, 13 with four, whose sums leave the first cache |
/// | others | staged | keys and values come once for 64 or 128 queries; by reasoning, not measured on a GPU |
/// | too little workgroup memory | plain, 1 query | more would leave the registers; not measured |
pub(super) fn kernel(caps: &Caps, shape: &AttentionShape, queries: usize) -> Kernel {
    let AttentionShape {
        heads, head_size, ..
    } = *shape;
    match (head_size, caps.class) {
        (size, _) if size > WIDEST => return Kernel::Wide,
        (_, DeviceClass::Software) => return Kernel::Plain { queries: 2 },
        _ => {}
    }
    let coop = || coop(caps, head_size as u32).map(Kernel::Coop);
    let staged = || Staged::choose(caps, head_size, queries, heads).map(Kernel::Staged);
    coop()
        .or_else(staged)
        .unwrap_or(Kernel::Plain { queries: 1 })
}

/// The first tile that a device can run, for a head that its matrices divide.
///
/// | queries x keys | why |
/// |---|---|
/// | 4 x edge, 64 | a barrier costs the same whatever the step; heads of 64 |
/// | 4 x edge, 32 | heads of 128 in 40 KiB; two workgroups a processor where 100 KiB are shared (RTX), five on an H200; not measured |
/// | 2 x edge, 32 | where a workgroup has 32 KiB |
fn coop(caps: &Caps, head_size: u32) -> Option<Coop> {
    if caps.activations() != DType::F16 {
        return None;
    }
    let edge = *caps.cooperative.last()?;
    // Metal names a range for all vendors; Apple's have 32.
    let lanes = match caps.class {
        DeviceClass::Apple => 32,
        _ => caps.subgroups?.1,
    };
    let tile = |(blocks, keys)| Coop {
        edge,
        blocks,
        parts: head_size.div_ceil(8 * edge),
        keys,
        lanes,
        scalar: caps.backend == "metal",
    };
    [(4, 64), (4, 32), (2, 32)]
        .map(tile)
        .into_iter()
        .find(|coop| coop.fits(caps, head_size))
}

impl Kernel {
    /// Queries of a workgroup.
    pub(super) fn queries(self, caps: &Caps) -> usize {
        match self {
            Self::Plain { queries } => (lanes(caps) * queries) as usize,
            Self::Coop(coop) => coop.rows() as usize,
            Self::Staged(staged) => staged.queries() as usize,
            Self::Wide => 1,
        }
    }

    /// The variant for heads of that size.
    pub(super) fn variant(
        self,
        caps: &Caps,
        head_size: usize,
        dtype: DType,
        bias: Option<&'static str>,
    ) -> Variant {
        let variant = match self {
            Self::Plain { queries } => Variant::new("attention")
                .tile("TILE_DEPTH", (head_size / 4) as u32)
                .tile("TILE_KEYS", 4)
                .tile("TILE_QUERIES", queries)
                .set("LANES", lanes(caps)),
            Self::Coop(coop) => {
                let variant = Variant::new("attention_coop")
                    .coop(coop.edge)
                    .tile("DEPTH", head_size as u32)
                    .tile("BLOCKS", coop.blocks)
                    .tile("PARTS", coop.parts)
                    .tile("KEYS", coop.keys)
                    .tile("LANES", coop.lanes)
                    .tile("STAGE4", coop.stage4(head_size as u32));
                if coop.scalar {
                    variant.slot(Slot::Stage, "scalar")
                } else {
                    variant
                }
            }
            Self::Staged(staged) => staged.constants(head_size).into_iter().fold(
                Variant::new("attention_staged"),
                |variant, (name, value)| variant.tile(name, value),
            ),
            Self::Wide => Variant::new("softmax"),
        };
        let variant = variant.input(dtype).output(caps.activations());
        match bias {
            Some(module) => variant.slot(Slot::Bias, module),
            None => variant,
        }
    }
}

/// Variants for the head sizes of known models.
pub(in super::super) fn variants(caps: &Caps) -> Vec<Variant> {
    let mut all = super::wide::variants(caps);
    for head_size in [32, 64, 128] {
        let shape = AttentionShape {
            heads: 1,
            head_size,
            scale: 1.0,
        };
        let few = kernel(caps, &shape, 1);
        let many = kernel(caps, &shape, 1 << 20);
        let kernels = [Some(few), (many != few).then_some(many)];
        for kernel in kernels.into_iter().flatten() {
            for bias in Bias::MODULES {
                for dtype in [DType::F32, DType::F16] {
                    all.push(kernel.variant(caps, head_size, dtype, bias));
                }
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_follows_head_and_device() {
        let class = |class| Caps {
            class,
            ..Caps::least()
        };
        let plain = |queries| Kernel::Plain { queries };
        let coop = |edge, lanes, bytes| Caps {
            f16: true,
            cooperative: vec![edge],
            subgroups: Some((lanes, lanes)),
            workgroup_memory: bytes,
            ..class(DeviceClass::Discrete)
        };
        let tile = |edge, blocks, parts, keys, lanes| {
            Kernel::Coop(Coop {
                edge,
                blocks,
                parts,
                keys,
                lanes,
                scalar: false,
            })
        };
        let staged = |caps: &Caps, head_size| {
            Staged::choose(caps, head_size, 1000, 1)
                .map(Kernel::Staged)
                .unwrap()
        };
        let no_memory = Caps {
            workgroup_memory: 1 << 10,
            ..class(DeviceClass::Discrete)
        };
        let odd = coop(16, 32, 48 << 10);
        for (caps, head_size, expected) in [
            (class(DeviceClass::Software), 64, plain(2)),
            (class(DeviceClass::Software), 128, plain(2)),
            (class(DeviceClass::Software), 384, Kernel::Wide),
            (
                class(DeviceClass::Integrated),
                128,
                staged(&class(DeviceClass::Integrated), 128),
            ),
            (no_memory, 128, plain(1)),
            (class(DeviceClass::Discrete), 132, Kernel::Wide),
            (coop(16, 32, 48 << 10), 128, tile(16, 4, 1, 32, 32)),
            (coop(16, 32, 48 << 10), 64, tile(16, 4, 1, 64, 32)),
            (coop(16, 64, 64 << 10), 128, tile(16, 4, 1, 32, 64)),
            (coop(16, 32, 32 << 10), 128, tile(16, 2, 1, 32, 32)),
            (odd.clone(), 40, staged(&odd, 40)),
            (coop(8, 32, 32 << 10), 64, tile(8, 4, 1, 64, 32)),
            (coop(8, 8, 32 << 10), 128, tile(8, 4, 2, 32, 8)),
            (coop(16, 32, 48 << 10), 384, Kernel::Wide),
        ] {
            let shape = AttentionShape {
                heads: 1,
                head_size,
                scale: 1.0,
            };
            let found = kernel(&caps, &shape, 1000);
            assert_eq!(found, expected, "{head_size} on {caps:?}");
        }
    }
}
