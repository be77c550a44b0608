//! The tile of `attention_staged.wgsl`.

use crate::ops::tiles::FEW_TILES;
use crate::record::{Caps, DeviceClass};

/// The tile that a workgroup computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Staged {
    /// Invocations that share eight rows of queries.
    team: u32,
    /// Such teams of a workgroup.
    teams: u32,
}

impl Staged {
    /// The tile for heads of up to 128 columns; which it is does not change the order of sums.
    /// Chosen by reasoning, not measured on a GPU.
    ///
    /// | class | tile | why |
    /// |---|---|---|
    /// | discrete | 128 queries x 64 keys, 256 invocations | keys and values come once for 128 queries: 32 operations for each byte from the second cache; a head of 128 takes 16.1 KiB |
    /// | few queries; integrated, Apple and others | 64 x 64, 128 invocations | fills more cores; 22 operations a byte, 12.1 KiB |
    /// | heads of up to 32 | 64 x 32, 64 invocations | eight groups of four columns find no work for sixteen invocations |
    ///
    /// An invocation has 32 scores and up to 64 sums: with operands and what is on its way, about
    /// 160 registers.
    pub(super) fn choose(
        caps: &Caps,
        head_size: usize,
        queries: usize,
        heads: usize,
    ) -> Option<Self> {
        let large = Self {
            team: 16,
            teams: 16,
        };
        let small = Self {
            team: if head_size <= 32 { 8 } else { 16 },
            teams: 8,
        };
        let many = queries.div_ceil(large.queries() as usize) * heads >= FEW_TILES;
        let wants_large = caps.class == DeviceClass::Discrete && head_size > 32 && many;
        [(large, wants_large), (small, true)]
            .into_iter()
            .find(|(tile, wanted)| *wanted && tile.fits(caps, head_size))
            .map(|(tile, _)| tile)
    }

    /// Queries of a workgroup.
    pub(super) fn queries(self) -> u32 {
        8 * self.teams
    }

    /// The numbers of the kernel's tile.
    pub(super) fn constants(self, head_size: usize) -> [(&'static str, u32); 4] {
        [
            ("DEPTH4", (head_size / 4) as u32),
            ("TEAM", self.team),
            ("TEAMS", self.teams),
            ("STAGE4", self.stage4(head_size)),
        ]
    }

    /// The most groups of four f32 staged at a time: a chunk of queries and keys, a part of the weights
    /// and values, or data that a team's invocations exchange.
    fn stage4(self, head_size: usize) -> u32 {
        let (chunk4, rows) = (self.team / 4, self.queries() + 2);
        let operands = chunk4 * (rows + 4 * (self.team + 2));
        let columns4 = ((head_size / 4) as u32).next_multiple_of(self.team);
        let products = self.team / 4 * rows + self.team * columns4;
        operands.max(products).max(2 * self.team * self.teams)
    }

    fn fits(self, caps: &Caps, head_size: usize) -> bool {
        self.team * self.teams <= caps.max_invocations
            && 16 * self.stage4(head_size) <= caps.workgroup_memory
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tile_follows_head_rows_and_memory() {
        let device = |class, kib: u32| Caps {
            class,
            workgroup_memory: kib << 10,
            ..Caps::least()
        };
        let discrete = device(DeviceClass::Discrete, 48);
        let narrow = device(DeviceClass::Discrete, 16);
        let apple = device(DeviceClass::Apple, 32);
        for (caps, head_size, queries, heads, expected) in [
            (&discrete, 128, 32_760, 12, Some([16, 16])),
            (&discrete, 64, 32_760, 12, Some([16, 16])),
            (&discrete, 128, 1_024, 12, Some([16, 8])),
            (&discrete, 32, 32_760, 12, Some([8, 8])),
            (&narrow, 128, 32_760, 12, Some([16, 8])),
            (&narrow, 64, 32_760, 12, Some([16, 16])),
            (&apple, 128, 32_760, 12, Some([16, 8])),
            (&Caps::least(), 128, 1, 1, Some([16, 8])),
            (&device(DeviceClass::Other, 8), 128, 1, 1, None),
        ] {
            let found = Staged::choose(caps, head_size, queries, heads);
            let expected = expected.map(|[team, teams]| Staged { team, teams });
            assert_eq!(found, expected, "{head_size} {queries} {heads} on {caps:?}");
        }
    }
}
