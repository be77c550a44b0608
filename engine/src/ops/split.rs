//! How work is divided: invocations of a workgroup, and rows and columns of a dispatch.

use crate::record::{Caps, DeviceClass};

/// Columns side by side in a workgroup. Software devices run a workgroup of one vector register;
/// more would only spill (lavapipe's is 8 wide).
pub(super) fn lanes(caps: &Caps) -> u32 {
    match caps.class {
        DeviceClass::Software => 8,
        _ => 64,
    }
}

/// How many rows of a weight one dispatch binds: all or, to stay within the device's binding limit, a
/// multiple of 64 or 128, so that windows start at every device's alignment.
pub(super) fn cols_per_dispatch(caps: &Caps, cols: usize, bytes_a_col: usize) -> usize {
    let most = (caps.max_binding_bytes / bytes_a_col.max(1) as u64).min(1 << 30) as usize;
    if cols.next_multiple_of(8) <= most {
        cols.max(1)
    } else {
        // A row of an odd number of blocks of 18 bytes is a whole number of words, but not more.
        let step = if bytes_a_col.is_multiple_of(4) {
            64
        } else {
            128
        };
        (most / step * step).max(step)
    }
}

/// How many rows one dispatch takes: all or, to stay within the device's binding and time limits, a
/// multiple of 64, so that windows start at every device's alignment.
pub(super) fn rows_per_dispatch(
    caps: &Caps,
    rows: usize,
    widest: usize,
    flops_a_row: u64,
) -> usize {
    let by_binding = caps.max_binding_bytes / (4 * widest.max(1)) as u64;
    let by_time = caps.dispatch_flops() / flops_a_row.max(1);
    let most = by_binding.min(by_time).min(1 << 30) as usize;
    if rows <= most {
        rows.max(1)
    } else {
        (most / 64 * 64).max(64)
    }
}
