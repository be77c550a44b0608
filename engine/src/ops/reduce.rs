//! How the invocations of a workgroup join their values: the slot `reduce`.

use crate::record::Caps;
use crate::shader::{Slot, Variant};

/// Who joins values: all numbers are powers of two.
#[derive(Clone, Copy, Debug)]
pub(super) struct Team {
    /// Invocations of a workgroup, at most 256.
    pub(super) lanes: u32,
    /// Invocations of a team.
    pub(super) size: u32,
    /// How far apart they are.
    pub(super) apart: u32,
}

impl Team {
    /// A whole workgroup.
    pub(super) fn of_all(lanes: u32) -> Self {
        Self::of_neighbours(lanes, lanes)
    }

    /// Some of a workgroup, side by side.
    pub(super) fn of_neighbours(lanes: u32, size: u32) -> Self {
        Self {
            lanes,
            size,
            apart: 1,
        }
    }
}

/// Gives a kernel that imports `reduce` its teams.
///
/// | device | module | why |
/// |---|---|---|
/// | subgroups of 4 and more | subgroup | one barrier in place of three, or none where a subgroup holds a team; on GPUs by reasoning, not measured |
/// | others | workgroup memory alone | |
///
/// `kinora bench layer_norm/wan1.3b_480p rms_norm/wan1.3b_480p norm_rope`, without and with them in
/// turn, two busy cores, GB/s, medians of three: lavapipe 26.1 (one subgroup a row, no barrier) 1.2
/// and 1.5, 1.3 and 2.0, 1.1 and 1.4; SwiftShader (two subgroups of 4 a row) no difference.
pub(super) fn reduce(variant: Variant, caps: &Caps, team: Team) -> Variant {
    let variant = variant
        .set("LANES", team.lanes)
        .set("TEAM", team.size)
        .set("APART", team.apart);
    match caps.subgroups {
        Some((least, _)) if least >= 4 && team.size > 1 => {
            variant.slot(Slot::Reduce, "subgroup").set("LEAST", least)
        }
        _ => variant,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subgroups_join_where_there_are_any() {
        let with = |subgroups| Caps {
            subgroups,
            ..Caps::least()
        };
        for (subgroups, team, least) in [
            (None, 128, None),
            (Some((1, 1)), 128, None),
            (Some((4, 4)), 128, Some(4)),
            (Some((8, 32)), 256, Some(8)),
            (Some((32, 32)), 32, Some(32)),
            (Some((32, 32)), 1, None),
        ] {
            let variant = reduce(
                Variant::new("norm"),
                &with(subgroups),
                Team::of_neighbours(256, team),
            );
            assert_eq!(variant.value("LEAST"), least, "{subgroups:?} {team}");
            let slots = variant.slots();
            let expected = least.map(|_| (Slot::Reduce, "subgroup"));
            assert_eq!(slots.first().copied(), expected, "{subgroups:?} {team}");
        }
    }
}
