//! Products of a few rows: `matvec.wgsl`.

use super::epilogue::Epilogue;
use super::reduce::{Team, reduce};
use super::weight_module::weight_module;
use crate::record::{Caps, DeviceClass};
use crate::shader::{Slot, Variant};
use crate::tensor::DType;

/// Products of more rows use the kernels for matrices.
const MOST_ROWS: usize = 4;

/// The team of a column: eight columns lie side by side, 16 invocations share each. By reasoning,
/// not measured on a GPU: 1,536 columns are 192 workgroups, so that 132 cores have one each, and
/// each invocation asks for 4 groups of four weights at a time, 64 KiB a core of 2,048 in bf16.
const TEAM: Team = Team {
    lanes: 128,
    size: 16,
    apart: 8,
};

/// The tile that a workgroup computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Vector {
    /// Rows, at most: 1 or 4.
    rows: u32,
}

impl Vector {
    /// For products of one to four rows, which take the time of reading the weight. Software
    /// devices compute an invocation a column, without a barrier: `matmul.wgsl`.
    pub(super) fn choose(caps: &Caps, rows: usize) -> Option<Self> {
        match (caps.class, rows) {
            (DeviceClass::Software, _) => None,
            (_, 1) => Some(Self { rows: 1 }),
            (_, ..=MOST_ROWS) => Some(Self { rows: 4 }),
            _ => None,
        }
    }

    /// Rows and columns of results of a workgroup.
    pub(super) fn edges(self) -> [usize; 2] {
        [self.rows as usize, TEAM.apart as usize]
    }

    /// The variant of the kernel.
    pub(super) fn variant(
        self,
        caps: &Caps,
        input: DType,
        weight: DType,
        epilogue: Option<&'static str>,
    ) -> Variant {
        let mut variant = reduce(Variant::new("matvec"), caps, TEAM).set("ROWS", self.rows);
        for (slot, module) in [
            (Slot::Weight, weight_module(weight)),
            (Slot::Epilogue, epilogue),
        ] {
            if let Some(module) = module {
                variant = variant.slot(slot, module);
            }
        }
        variant.input(input)
    }
}

pub(super) fn variants(caps: &Caps) -> Vec<Variant> {
    let mut all = Vec::new();
    for vector in [1, MOST_ROWS].map(|rows| Vector::choose(caps, rows)) {
        for weight in DType::WEIGHTS {
            for epilogue in Epilogue::OF_MATRICES {
                for input in [DType::F32, DType::F16] {
                    all.extend(vector.map(|of| of.variant(caps, input, weight, epilogue)));
                }
            }
        }
    }
    all
}
