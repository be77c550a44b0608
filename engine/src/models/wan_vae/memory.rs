//! What recordings need on a device, before any of it is made.

use std::collections::BTreeMap;

use crate::record::{Kind, Recording, place};

/// Bytes of device memory that a decoder takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecodeMemory {
    /// Weights.
    pub weights: u64,
    /// Histories of the causal convolutions.
    pub states: u64,
    /// Inputs and outputs.
    pub transfers: u64,
    /// Buffers that the intermediates share.
    pub intermediates: u64,
    /// The largest of all buffers.
    pub largest_buffer: u64,
}

/// Bytes that reading results back and the params of kernels take beside the rest, at most.
const BESIDE: u64 = 33 << 20;

impl DecodeMemory {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.weights + self.states + self.transfers + self.intermediates + BESIDE
    }

    /// What recordings need that run one after the other and share their buffers.
    pub(super) fn of<'r>(recordings: impl Iterator<Item = &'r Recording>) -> Self {
        let mut named: BTreeMap<&str, (&Kind, u64)> = BTreeMap::new();
        let mut shared: Vec<u64> = Vec::new();
        for recording in recordings {
            for (_, info) in recording
                .iter()
                .filter(|(_, info)| info.kind != Kind::Intermediate)
            {
                let (_, bytes) = named.entry(&info.name).or_insert((&info.kind, 0));
                *bytes = info.bytes().max(*bytes);
            }
            // As a plan does: the largest buffer of one pass is the largest of the next.
            let mut buffers = place(recording).buffers;
            buffers.sort_unstable_by(|a, b| b.cmp(a));
            for (at, bytes) in buffers.into_iter().enumerate() {
                match shared.get_mut(at) {
                    Some(largest) => *largest = bytes.max(*largest),
                    None => shared.push(bytes),
                }
            }
        }
        let mut memory = Self {
            intermediates: shared.iter().sum(),
            ..Self::default()
        };
        memory.largest_buffer = shared.iter().copied().max().unwrap_or(0);
        for (kind, bytes) in named.into_values() {
            memory.largest_buffer = memory.largest_buffer.max(bytes);
            match kind {
                Kind::Weight(_) => memory.weights += bytes,
                Kind::State => memory.states += bytes,
                Kind::Input | Kind::Output | Kind::Intermediate => memory.transfers += bytes,
            }
        }
        memory
    }
}
