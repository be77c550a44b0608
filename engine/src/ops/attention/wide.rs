//! A single head too wide for one kernel (the video decoder's, 384 or 1024 columns): two products
//! with a softmax between them, some queries at a time.

use super::shape::{AttentionShape, Bias, OP, Part};
use crate::error::RecordError;
use crate::ops::columns::columns;
use crate::ops::matmul::{Epilogue, matmul};
use crate::ops::params::params;
use crate::ops::reduce::{Team, reduce};
use crate::ops::split::{lanes, rows_per_dispatch};
use crate::record::{Caps, DeviceClass, Recorder, Tensor};
use crate::shader::{Slot, Variant};
use crate::tensor::DType;

params! {
    /// Params of `pack_weight.wgsl`.
    PackWeightParams for "pack_weight" {
        rows: u32,
        rows4: u32,
        cols4: u32,
        first4: u32,
        stride4: u32,
        transposed: u32,
    }
}

params! {
    /// Params of `softmax.wgsl`.
    SoftmaxParams for "softmax" {
        rows: u32,
        row_base: u32,
        cols4: u32,
        keys: u32,
        scale: f32,
    }
}

/// Bytes of the scores of the queries that are computed at a time, at most: what stays in a large
/// cache, and enough queries to fill a GPU (2,330 at the 14,400 keys of a 720p frame).
const SCORE_BYTES: u64 = 128 << 20;

/// The fewest rows of a part: a product chooses its kernel by its rows, and all parts must use the same.
const LEAST_ROWS: usize = 64;

fn pack_variant(caps: &Caps, input: DType, output: DType) -> Variant {
    Variant::new("pack_weight")
        .set("LANES", lanes(caps))
        .input(input)
        .output(output)
}

fn softmax_variant(caps: &Caps, output: DType, bias: Option<&'static str>) -> Variant {
    let lanes = match caps.class {
        DeviceClass::Software => 8,
        _ => 256,
    };
    let variant = reduce(Variant::new("softmax"), caps, Team::of_all(lanes)).output(output);
    match bias {
        Some(module) => variant.slot(Slot::Bias, module),
        None => variant,
    }
}

pub(super) fn variants(caps: &Caps) -> Vec<Variant> {
    let output = caps.activations();
    let mut all = Bias::MODULES
        .map(|bias| softmax_variant(caps, output, bias))
        .to_vec();
    for input in [DType::F32, DType::F16] {
        all.push(pack_variant(caps, input, output));
    }
    all
}

/// The rows of each part: as many as fit, and at least [`LEAST_ROWS`] if there are several parts.
fn parts(rows: usize, most: usize) -> Vec<(usize, usize)> {
    let most = (most / LEAST_ROWS).saturating_sub(1).max(1) * LEAST_ROWS;
    let mut all = Vec::new();
    let mut first = 0;
    while first < rows {
        let left = rows - first;
        let count = if left < most + LEAST_ROWS { left } else { most };
        all.push((first, count));
        first += count;
    }
    all
}

/// Records attention with one head of D columns, a multiple of 8; the result is f32.
pub(super) fn record(
    rec: &mut Recorder<'_>,
    [q, k, v]: [Part; 3],
    shape: AttentionShape,
    bias: Bias<'_>,
) -> Result<Tensor, RecordError> {
    let (queries, keys, depth) = (q.rows(), k.rows(), shape.head_size);
    let q = if q.columns() == depth {
        q.tensor
    } else {
        columns(rec, &q.tensor, q.first, depth, q.tensor.dtype)?
    };
    let k = pack_weight(rec, &k, depth, false)?;
    let v = pack_weight(rec, &v, depth, true)?;
    let padded = keys.next_multiple_of(8);
    let out = rec.intermediate(OP, [queries, depth], DType::F32);
    let bytes = SCORE_BYTES.min(rec.caps().max_binding_bytes);
    for (first, count) in parts(queries, (bytes / (4 * padded) as u64) as usize) {
        let scores = rec.intermediate("scores", [count, padded], DType::F32);
        let rows = q.view_rows(first, count)?;
        matmul(rec, &rows, &k, Epilogue::None, Some(&scores))?;
        let shares = softmax(rec, &scores, first, keys, shape.scale, bias)?;
        let into = out.view_rows(first, count)?;
        matmul(rec, &shares, &v, Epilogue::None, Some(&into))?;
    }
    Ok(out)
}

/// Columns of x as the weight of a product, [R, C] or, transposed, [C, R], R the rows rounded up
/// to a multiple of 8.
fn pack_weight(
    rec: &mut Recorder<'_>,
    x: &Part,
    cols: usize,
    transposed: bool,
) -> Result<Tensor, RecordError> {
    let rows = x.rows();
    let padded = rows.next_multiple_of(8);
    let shape = if transposed {
        [cols, padded]
    } else {
        [padded, cols]
    };
    let w = rec.intermediate("weight", shape, rec.caps().activations());
    let variant = pack_variant(rec.caps(), x.tensor.dtype, w.dtype);
    let lanes = lanes(rec.caps()) as usize;
    rec.dispatch("pack_weight", variant)
        .read(1, &x.tensor)
        .write(2, &w)
        .params(&PackWeightParams {
            rows: rows as u32,
            rows4: (padded / 4) as u32,
            cols4: (cols / 4) as u32,
            first4: (x.first / 4) as u32,
            stride4: (x.columns() / 4) as u32,
            transposed: transposed.into(),
        })
        .flops((padded * cols) as u64)
        .launch_folded((padded / 4 * cols / 4).div_ceil(lanes))?;
    Ok(w)
}

/// `softmax(scale s + bias)` over the first `keys` columns of each row, 0 behind them.
fn softmax(
    rec: &mut Recorder<'_>,
    s: &Tensor,
    row_base: usize,
    keys: usize,
    scale: f32,
    bias: Bias<'_>,
) -> Result<Tensor, RecordError> {
    let [rows, cols] = s.dims("softmax", "s")?;
    let p = rec.intermediate("softmax", [rows, cols], rec.caps().activations());
    let variant = softmax_variant(rec.caps(), p.dtype, bias.module());
    let chunk = rows_per_dispatch(rec.caps(), rows, cols, 10 * cols as u64);
    for first in (0..rows).step_by(chunk) {
        let count = chunk.min(rows - first);
        let window =
            |size: usize| (first * cols * size) as u64..((first + count) * cols * size) as u64;
        let builder = rec
            .dispatch("softmax", variant.clone())
            .read_window(1, s, window(4))
            .write_window(2, &p, window(p.dtype.size()))
            .params(&SoftmaxParams {
                rows: count as u32,
                row_base: (row_base + first) as u32,
                cols4: (cols / 4) as u32,
                keys: keys as u32,
                scale,
            })
            .flops(10 * (count * cols) as u64);
        bias.bind(builder).launch_folded(count)?;
    }
    Ok(p)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_is_small() {
        assert_eq!(parts(7, 1000), [(0, 7)]);
        assert_eq!(parts(300, 256), [(0, 192), (192, 108)]);
        assert_eq!(parts(200, 128), [(0, 64), (64, 64), (128, 72)]);
        assert_eq!(parts(127, 1), [(0, 127)]);
    }
}
