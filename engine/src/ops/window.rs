//! Windows of tensors, widened to where the device lets a binding start.

use std::ops::Range;

use crate::record::{Caps, Tensor};

/// The bytes to bind, and their first element, which a kernel subtracts from its indices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) bytes: Range<u64>,
    pub(super) base: u32,
}

/// The window that holds elements of a tensor.
pub(super) fn window(caps: &Caps, tensor: &Tensor, elements: Range<usize>) -> Window {
    let size = tensor.dtype.size() as u64;
    let alignment = u64::from(caps.binding_alignment.max(16));
    let start = elements.start as u64 * size / alignment * alignment;
    // Whole words; a tensor's buffer is padded to them.
    let end = (elements.end as u64 * size).next_multiple_of(4);
    Window {
        bytes: start..end,
        base: (start / size) as u32,
    }
}

impl Window {
    /// Bytes bound.
    pub(super) fn len(&self) -> u64 {
        self.bytes.end - self.bytes.start
    }
}

/// The number of rows of `cols` f32 columns at whose multiples the device lets a binding start.
pub(super) fn aligned_rows(caps: &Caps, cols: usize) -> usize {
    let alignment = caps.binding_alignment.max(4);
    let row = (cols * 4).trailing_zeros().min(alignment.trailing_zeros());
    (alignment >> row) as usize
}
