//! Places intermediates into a few reusable buffers.
//!
//! wgpu tracks whole buffers, so two tensors of one buffer, one read and one written by the same
//! command, are a validation error. A buffer is therefore free again only *after* the last
//! command that touches its tensor.

use super::recording::{Kind, Recording, TensorId};

/// Which buffer holds each intermediate, and how large each buffer must be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Index of a buffer by tensor; `None` for tensors that are not intermediates or are never used.
    pub buffer_of: Vec<Option<usize>>,
    /// Bytes of each buffer.
    pub buffers: Vec<u64>,
}

/// First and last command that touches each tensor.
fn lifetimes(recording: &Recording) -> Vec<Option<(usize, usize)>> {
    let mut spans: Vec<Option<(usize, usize)>> = vec![None; recording.tensors.len()];
    for (index, command) in recording.commands.iter().enumerate() {
        for (id, _) in command.tensors() {
            let span = spans[id.0 as usize].get_or_insert((index, index));
            span.1 = index;
        }
    }
    spans
}

/// Places every intermediate: best fit among free buffers, else the largest free one grows, else
/// a new buffer.
pub fn place(recording: &Recording) -> Placement {
    let spans = lifetimes(recording);
    let mut placement = Placement {
        buffer_of: vec![None; recording.tensors.len()],
        buffers: Vec::new(),
    };
    let mut busy_until: Vec<Option<usize>> = Vec::new();
    let mut order: Vec<(usize, TensorId)> = recording
        .iter()
        .filter(|(_, info)| info.kind == Kind::Intermediate)
        .filter_map(|(id, _)| spans[id.0 as usize].map(|(first, _)| (first, id)))
        .collect();
    order.sort_unstable();
    for (first, id) in order {
        let bytes = recording.info(id).bytes();
        let last = spans[id.0 as usize].map_or(first, |(_, last)| last);
        let free = |i: &usize| busy_until[*i].is_none_or(|until| until < first);
        let fits = (0..busy_until.len())
            .filter(free)
            .filter(|&i| placement.buffers[i] >= bytes)
            .min_by_key(|&i| placement.buffers[i]);
        let grown = || {
            (0..busy_until.len())
                .filter(free)
                .max_by_key(|&i| placement.buffers[i])
        };
        let chosen = fits.or_else(grown).unwrap_or(busy_until.len());
        if chosen == busy_until.len() {
            busy_until.push(None);
            placement.buffers.push(0);
        }
        placement.buffers[chosen] = placement.buffers[chosen].max(bytes);
        busy_until[chosen] = Some(last);
        placement.buffer_of[id.0 as usize] = Some(chosen);
    }
    placement
}
