//! What recordings need on a device, before any of it is made.

use std::collections::{BTreeMap, BTreeSet};

use super::{Command, Kind, Recording, place};

/// Uniform bindings start at multiples of this on every device.
pub(crate) const PARAMS_ALIGNMENT: u64 = 256;

/// Bytes of device memory that recordings take which share a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Weights, those of one name once.
    pub weights: u64,
    /// What outlives a pass.
    pub states: u64,
    /// Inputs and outputs.
    pub transfers: u64,
    /// Buffers that the intermediates share.
    pub intermediates: u64,
    /// Params of the kernels.
    pub params: u64,
    /// The largest of all buffers.
    pub largest_buffer: u64,
}

impl Footprint {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.weights + self.states + self.transfers + self.working()
    }

    /// Bytes that the plan allocates: intermediates and params.
    pub fn working(&self) -> u64 {
        self.intermediates + self.params
    }

    /// What recordings need that run one after the other and share their buffers.
    pub fn of<'r>(recordings: impl IntoIterator<Item = &'r Recording>) -> Self {
        let mut named: BTreeMap<&str, (&Kind, u64)> = BTreeMap::new();
        let mut shared: Vec<u64> = Vec::new();
        let mut footprint = Self::default();
        for recording in recordings {
            let known = recording.iter().map(|(_, info)| info);
            for info in known.filter(|info| info.kind != Kind::Intermediate) {
                let (_, bytes) = named.entry(&info.name).or_insert((&info.kind, 0));
                *bytes = buffer(info.bytes()).max(*bytes);
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
            footprint.params += params(recording);
        }
        footprint.intermediates = shared.iter().copied().map(buffer).sum();
        footprint.largest_buffer = shared.iter().copied().max().unwrap_or(0);
        for (kind, bytes) in named.into_values() {
            footprint.largest_buffer = footprint.largest_buffer.max(bytes);
            match kind {
                Kind::Weight(_) => footprint.weights += bytes,
                Kind::State => footprint.states += bytes,
                Kind::Input | Kind::Output | Kind::Intermediate => footprint.transfers += bytes,
            }
        }
        footprint
    }
}

/// The size of a buffer for this many bytes.
pub(crate) fn buffer(bytes: u64) -> u64 {
    bytes.next_multiple_of(4).max(4)
}

/// Bytes of the buffer that holds a recording's params: those that are equal once, each aligned.
fn params(recording: &Recording) -> u64 {
    let mut known: BTreeSet<&[u8]> = BTreeSet::new();
    let mut end = 0u64;
    for command in &recording.commands {
        if let Command::Dispatch(dispatch) = command
            && !dispatch.params.is_empty()
            && known.insert(&dispatch.params)
        {
            end = end.next_multiple_of(PARAMS_ALIGNMENT) + dispatch.params.len() as u64;
        }
    }
    match end {
        0 => 0,
        bytes => buffer(bytes),
    }
}
