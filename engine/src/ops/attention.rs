//! Attention: every query's mean of the values, weighted by how well the keys match.

use std::ops::Range;

use super::columns::columns;
use super::matmul::{lanes, rows_per_dispatch};
use super::params::params;
use crate::error::RecordError;
use crate::record::{Caps, DeviceClass, Recorder, Tensor};
use crate::shader::{Slot, Variant};
use crate::tensor::DType;

params! {
    /// Params of `attention.wgsl`.
    AttentionParams for "attention" {
        queries: u32,
        query_base: u32,
        keys: u32,
        head_base: u32,
        kv_head_base: u32,
        heads: u32,
        depth4: u32,
        q_first4: u32,
        k_first4: u32,
        v_first4: u32,
        q_stride4: u32,
        k_stride4: u32,
        v_stride4: u32,
        scale: f32,
    }
}

const OP: &str = "attention";

/// Keys that a kernel scores before it rescales its sums.
const TILE_KEYS: u32 = 8;

/// Groups of four value columns that an invocation may hold, ascending.
const TILE_VALUES: [u32; 4] = [4, 8, 16, 32];

/// Heads side by side in the rows of a tensor: columns `first .. first + heads * size`.
#[derive(Clone, Copy, Debug)]
pub struct Heads<'t> {
    /// [rows, columns] f32
    pub tensor: &'t Tensor,
    /// The first column, a multiple of 4.
    pub first: usize,
}

impl<'t> From<&'t Tensor> for Heads<'t> {
    fn from(tensor: &'t Tensor) -> Self {
        Self { tensor, first: 0 }
    }
}

/// What is added to the scaled scores.
#[derive(Clone, Copy, Debug, Default)]
pub enum Bias<'t> {
    /// Nothing.
    #[default]
    None,
    /// `bias[key]`: log(n) makes a key count as n equal ones, -1e30 as none.
    Keys(
        /// `[Lk]` f32
        &'t Tensor,
    ),
    /// `table[bucket[key - query + L - 1], head]`: as many queries as keys.
    Table {
        /// [buckets, H] f32
        table: &'t Tensor,
        /// [2 L - 1] u32, each less than the number of buckets
        bucket: &'t Tensor,
    },
}

impl Bias<'_> {
    fn module(&self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Keys(_) => Some("keys"),
            Self::Table { .. } => Some("table"),
        }
    }
}

/// The heads of an attention and how their scores are scaled.
#[derive(Clone, Copy, Debug)]
pub struct AttentionShape {
    /// H
    pub heads: usize,
    /// D, a multiple of 4
    pub head_size: usize,
    /// Factor of `q k^T`; `1 / sqrt(D)` in most models, 1 in T5's.
    pub scale: f32,
}

/// Value columns of an invocation, in groups of four: the whole head where the registers hold it,
/// since every further slice scores the keys again. Discrete GPUs have 255 registers an
/// invocation and a processor spills to its first cache; others are given half of that.
fn tile_values(caps: &Caps, depth4: usize) -> u32 {
    let most = match caps.class {
        DeviceClass::Discrete | DeviceClass::Software => 32,
        DeviceClass::Integrated | DeviceClass::Apple | DeviceClass::Other => 16,
    };
    let fits = TILE_VALUES
        .into_iter()
        .find(|&tile| tile as usize >= depth4);
    fits.unwrap_or(most).min(most)
}

fn variant(caps: &Caps, tile_values: u32, bias: Option<&'static str>) -> Variant {
    let variant = Variant::new("attention")
        .tile("TILE_KEYS", TILE_KEYS)
        .tile("TILE_VALUES", tile_values)
        .set("LANES", lanes(caps));
    match bias {
        Some(module) => variant.slot(Slot::Bias, module),
        None => variant,
    }
}

pub(super) fn variants(caps: &Caps) -> Vec<Variant> {
    let biases = [None, Some("keys"), Some("table")];
    let tiles = TILE_VALUES
        .into_iter()
        .filter(|&tile| tile <= tile_values(caps, usize::MAX));
    tiles
        .flat_map(|tile| biases.map(|bias| variant(caps, tile, bias)))
        .collect()
}

/// `softmax(scale q k^T + bias) v`, head by head.
///
/// | tensor | shape | dtype |
/// |---|---|---|
/// | q | [Lq, ..], H D columns of it | f32, D a multiple of 4 |
/// | k, v | [Lk, ..], H D columns of each | f32 |
/// | result | [Lq, H D] | f32 |
///
/// The scores are never stored: memory does not grow with Lq Lk. Queries and heads are split over
/// dispatches where one would run too long or a window would exceed the device's binding limit,
/// and where the keys or values themselves exceed it, some heads of them at a time are copied
/// together. The order of every sum over the keys stays the same.
///
/// # Errors
/// Shapes that do not match; keys of one head larger than one binding.
pub fn attention(
    rec: &mut Recorder<'_>,
    q: Heads<'_>,
    k: Heads<'_>,
    v: Heads<'_>,
    shape: AttentionShape,
    bias: Bias<'_>,
) -> Result<Tensor, RecordError> {
    let AttentionShape {
        heads, head_size, ..
    } = shape;
    if head_size == 0 || head_size % 4 != 0 {
        let expected = "a multiple of 4";
        return Err(RecordError::Size {
            op: OP,
            name: "head size",
            found: head_size,
            expected,
        });
    }
    let width = heads * head_size;
    let [queries, keys] = [q.tensor.shape.rows(), k.tensor.shape.rows()];
    for (name, part, rows) in [("q", q, queries), ("k", k, keys), ("v", v, keys)] {
        let columns = part.tensor.shape.last_dim();
        let aligned = part.first % 4 == 0 && columns % 4 == 0;
        let inside = part.first + width <= columns && part.tensor.shape.rows() == rows;
        if !aligned || !inside || part.tensor.dtype != DType::F32 {
            let expected = format!(
                "f32 [{rows}, {}] or wider, in steps of 4",
                part.first + width
            );
            return Err(RecordError::Shape {
                op: OP,
                name,
                found: part.tensor.shape,
                expected,
            });
        }
    }
    if keys == 0 {
        return Err(RecordError::Size {
            op: OP,
            name: "Lk",
            found: 0,
            expected: "at least one key",
        });
    }
    if let Bias::Keys(bias) = bias
        && (bias.shape.count() != keys || bias.dtype != DType::F32)
    {
        let expected = format!("f32 [{keys}]");
        return Err(RecordError::Shape {
            op: OP,
            name: "bias",
            found: bias.shape,
            expected,
        });
    }
    if let Bias::Table { table, bucket } = bias {
        if table.shape.last_dim() != heads {
            let expected = format!("[_, {heads}]");
            return Err(RecordError::Shape {
                op: OP,
                name: "bias table",
                found: table.shape,
                expected,
            });
        }
        if queries != keys || bucket.shape.count() != 2 * keys - 1 || bucket.dtype != DType::U32 {
            let expected = format!(
                "u32 [{}] for {queries} queries and {keys} keys",
                2 * keys - 1
            );
            return Err(RecordError::Shape {
                op: OP,
                name: "buckets",
                found: bucket.shape,
                expected,
            });
        }
    }
    let out = rec.intermediate(OP, [queries, width], DType::F32);
    let limit = rec.caps().max_binding_bytes;
    if k.tensor.bytes().max(v.tensor.bytes()) <= limit {
        record(rec, [q, k, v], 0..heads, 0, (shape, bias), &out)?;
        return Ok(out);
    }
    let at_once = (limit / (keys * head_size * 4) as u64).clamp(1, heads.max(1) as u64) as usize;
    for base in (0..heads).step_by(at_once) {
        let end = heads.min(base + at_once);
        let [k, v] = [k, v].map(|part| {
            columns(
                rec,
                part.tensor,
                part.first + base * head_size,
                (end - base) * head_size,
            )
        });
        let (k, v) = (k?, v?);
        record(
            rec,
            [q, (&k).into(), (&v).into()],
            base..end,
            base,
            (shape, bias),
            &out,
        )?;
    }
    Ok(out)
}

/// Records the heads `range`; k and v hold those from `kv_base` on.
fn record(
    rec: &mut Recorder<'_>,
    [q, k, v]: [Heads<'_>; 3],
    range: Range<usize>,
    kv_base: usize,
    (shape, bias): (AttentionShape, Bias<'_>),
    out: &Tensor,
) -> Result<(), RecordError> {
    let caps = rec.caps();
    let (width, queries, keys) = (
        out.shape.last_dim(),
        out.shape.rows(),
        k.tensor.shape.rows(),
    );
    let depth4 = shape.head_size / 4;
    let tile = tile_values(caps, depth4);
    let slices = depth4.div_ceil(tile as usize);
    let variant = variant(caps, tile, bias.module());
    let columns = |part: Heads<'_>| part.tensor.shape.last_dim();
    // Every slice scores the keys again.
    let flops_a_query = 2 * (keys * shape.head_size * (slices + 1)) as u64;
    let chunk = rows_per_dispatch(caps, queries, width.max(columns(q)), flops_a_query);
    let by_time = caps.dispatch_flops() / (flops_a_query * chunk.min(queries).max(1) as u64).max(1);
    let heads_a_dispatch = (by_time as usize).clamp(1, range.len().max(1));
    let lanes = lanes(caps) as usize;
    for first in (0..queries).step_by(chunk) {
        let count = chunk.min(queries - first);
        let window =
            |columns: usize| (first * columns * 4) as u64..((first + count) * columns * 4) as u64;
        for head_base in range.clone().step_by(heads_a_dispatch) {
            let some = heads_a_dispatch.min(range.end - head_base);
            let builder = rec
                .dispatch(OP, variant.clone())
                .read_window(1, q.tensor, window(columns(q)))
                .read(2, k.tensor)
                .read(3, v.tensor)
                .write_window(4, out, window(width))
                .params(&AttentionParams {
                    queries: count as u32,
                    query_base: first as u32,
                    keys: keys as u32,
                    head_base: head_base as u32,
                    kv_head_base: kv_base as u32,
                    heads: shape.heads as u32,
                    depth4: depth4 as u32,
                    q_first4: (q.first / 4) as u32,
                    k_first4: (k.first / 4) as u32,
                    v_first4: (v.first / 4) as u32,
                    q_stride4: (columns(q) / 4) as u32,
                    k_stride4: (columns(k) / 4) as u32,
                    v_stride4: (columns(v) / 4) as u32,
                    scale: shape.scale,
                })
                .flops(flops_a_query * (count * some) as u64);
            let builder = match bias {
                Bias::None => builder,
                Bias::Keys(bias) => builder.read(8, bias),
                Bias::Table { table, bucket } => builder.read(8, table).read(9, bucket),
            };
            builder.launch([count.div_ceil(lanes), some, slices])?;
        }
    }
    Ok(())
}
