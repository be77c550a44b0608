//! Which kernel computes an attention, and on which tile.

use super::super::matmul::lanes;
use super::Bias;
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
    /// Two products with a softmax between them.
    Wide,
}

/// The kernel for heads of that size on a device.
///
/// | head, class | kernel | why |
/// |---|---|---|
/// | beyond 128 | two products | no register file holds the sums of a row; a product also gets tensor cores |
/// | software | plain, 2 queries | each key is loaded once for both: at 12 heads of 128, 1,024 tokens, 20 GFLOP/s on lavapipe 26.1, 12 with one query, 13 with four, whose sums leave the first cache |
/// | others | plain, 1 query | more would leave the registers; not measured |
pub(super) fn kernel(caps: &Caps, head_size: usize) -> Kernel {
    match (head_size, caps.class) {
        (size, _) if size > WIDEST => Kernel::Wide,
        (_, DeviceClass::Software) => Kernel::Plain { queries: 2 },
        _ => Kernel::Plain { queries: 1 },
    }
}

impl Kernel {
    /// Queries of a workgroup.
    pub(super) fn queries(self, caps: &Caps) -> usize {
        match self {
            Self::Plain { queries } => (lanes(caps) * queries) as usize,
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
        for bias in Bias::MODULES {
            for dtype in [DType::F32, DType::F16] {
                all.push(kernel(caps, head_size).variant(caps, head_size, dtype, bias));
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
        for (caps, head_size, expected) in [
            (class(DeviceClass::Software), 64, plain(2)),
            (class(DeviceClass::Software), 128, plain(2)),
            (class(DeviceClass::Software), 384, Kernel::Wide),
            (class(DeviceClass::Integrated), 128, plain(1)),
            (class(DeviceClass::Discrete), 132, Kernel::Wide),
        ] {
            assert_eq!(
                kernel(&caps, head_size),
                expected,
                "{head_size} on {caps:?}"
            );
        }
    }
}
