//! Heads whose sums one kernel holds: one pass over the keys, scores never stored.

use std::ops::Range;

use super::kernel::Kernel;
use super::shape::{AttentionShape, Bias, OP, Part};
use crate::error::RecordError;
use crate::ops::columns::columns;
use crate::ops::params::params;
use crate::ops::split::rows_per_dispatch;
use crate::record::{Recorder, Tensor};

params! {
    /// Params of `attention.wgsl`.
    AttentionParams for "attention" {
        queries: u32,
        query_base: u32,
        keys: u32,
        head_base: u32,
        kv_head_base: u32,
        heads: u32,
        q_first4: u32,
        k_first4: u32,
        v_first4: u32,
        q_stride4: u32,
        k_stride4: u32,
        v_stride4: u32,
        scale: f32,
    }
}

/// Records all heads; where the keys or values exceed a binding, some heads of them at a time are
/// copied together.
pub(super) fn record_all(
    rec: &mut Recorder<'_>,
    kernel: Kernel,
    [q, k, v]: [Part; 3],
    (shape, bias): (AttentionShape, Bias<'_>),
) -> Result<Tensor, RecordError> {
    let AttentionShape {
        heads, head_size, ..
    } = shape;
    let out = rec.intermediate(OP, [q.rows(), heads * head_size], rec.caps().activations());
    let limit = rec.caps().max_binding_bytes;
    if k.tensor.bytes().max(v.tensor.bytes()) <= limit {
        record(rec, kernel, [q, k, v], (0..heads, 0), (shape, bias), &out)?;
        return Ok(out);
    }
    let head_bytes = (k.rows() * head_size * k.tensor.dtype.size()) as u64;
    // A quarter of the binding limit, because the copies take memory in addition to the whole keys and
    // values.
    let at_once = (limit / 4 / head_bytes).clamp(1, heads.max(1) as u64) as usize;
    for base in (0..heads).step_by(at_once) {
        let end = heads.min(base + at_once);
        let [k, v] = [k, v].map(|part| {
            let (first, count) = (part.first + base * head_size, (end - base) * head_size);
            let tensor = columns(rec, &part.tensor, first, count, part.tensor.dtype)?;
            Ok(Part { tensor, first: 0 })
        });
        record(
            rec,
            kernel,
            [q, k?, v?],
            (base..end, base),
            (shape, bias),
            &out,
        )?;
    }
    Ok(out)
}

/// Records the heads `range`; k and v hold those from `kv_base` on.
fn record(
    rec: &mut Recorder<'_>,
    kernel: Kernel,
    [q, k, v]: [Part; 3],
    (range, kv_base): (Range<usize>, usize),
    (shape, bias): (AttentionShape, Bias<'_>),
    out: &Tensor,
) -> Result<(), RecordError> {
    let caps = rec.caps();
    let (queries, keys, width) = (q.rows(), k.rows(), out.shape.last_dim());
    let variant = kernel.variant(caps, shape.head_size, q.tensor.dtype, bias.module());
    let flops_a_query = 4 * (keys * shape.head_size) as u64;
    let chunk = rows_per_dispatch(caps, queries, width.max(q.columns()), flops_a_query);
    let by_time = caps.dispatch_flops() / (flops_a_query * chunk.min(queries).max(1) as u64).max(1);
    let heads_a_dispatch = (by_time as usize).clamp(1, range.len().max(1));
    for first in (0..queries).step_by(chunk) {
        let count = chunk.min(queries - first);
        let window = |bytes: usize| (first * bytes) as u64..((first + count) * bytes) as u64;
        for head_base in range.clone().step_by(heads_a_dispatch) {
            let some = heads_a_dispatch.min(range.end - head_base);
            let builder = rec
                .dispatch(OP, variant.clone())
                .read_window(1, &q.tensor, window(q.columns() * q.tensor.dtype.size()))
                .read(2, &k.tensor)
                .read(3, &v.tensor)
                .write_window(4, out, window(width * out.dtype.size()))
                .params(&AttentionParams {
                    queries: count as u32,
                    query_base: first as u32,
                    keys: keys as u32,
                    head_base: head_base as u32,
                    kv_head_base: kv_base as u32,
                    heads: shape.heads as u32,
                    q_first4: (q.first / 4) as u32,
                    k_first4: (k.first / 4) as u32,
                    v_first4: (v.first / 4) as u32,
                    q_stride4: (q.columns() / 4) as u32,
                    k_stride4: (k.columns() / 4) as u32,
                    v_stride4: (v.columns() / 4) as u32,
                    scale: shape.scale,
                })
                .flops(flops_a_query * (count * some) as u64);
            let groups = count.div_ceil(kernel.queries(caps));
            bias.bind(builder).launch([groups, some, 1])?;
        }
    }
    Ok(())
}
