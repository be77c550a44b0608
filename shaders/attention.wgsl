// out = softmax(scale q k^T + bias) v, head by head, in one pass over the keys
//
//   q [Lq, H, D] f32      k [Lk, H, D] f32      v [Lk, H, D] f32      out [Lq, H, D] f32
//
// Each of q, k, v is a range of columns of a [rows, columns] tensor, so that a fused projection
// can be read where it lies. D is a multiple of 4; all sizes ending in 4 count vectors of four.
//
// One invocation computes one query row of one head, for a slice of TILE_VALUES x 4 columns: no
// workgroup memory, no barrier, no stored scores. It takes TILE_KEYS keys at a time, scores them,
// moves the running maximum, rescales the sums once and adds the weighted values (the online
// softmax of Milakov & Gimelshein 2018, as FlashAttention uses it). A group is summed by itself
// before it joins: the chain of roundings is TILE_KEYS times shorter, which shows where hundreds
// of keys are the same padding. All invocations of a workgroup read the same keys and values at
// the same time: one load serves them all. A head too wide for the registers (the video decoder's
// single head of 384 or 1024) is cut into slices, each of which computes the scores again. Keys
// are always taken from 0 upwards in groups of TILE_KEYS, whatever the grid.
//
//   workgroup: LANES queries; grid: (queries, heads, slices)

import package::tile::{TILE_KEYS, TILE_VALUES};
import package::bias::{score_bias, bias_keys, bias_heads};

struct Params {
    queries: u32, // of this dispatch
    query_base: u32, // its first query in the whole op
    keys: u32, // Lk
    head_base: u32, // the first head of this dispatch
    kv_head_base: u32, // the first head that k and v hold
    heads: u32, // H
    depth4: u32, // D / 4
    q_first4: u32, // first column of q, k, v in their tensors
    k_first4: u32,
    v_first4: u32,
    q_stride4: u32, // columns of the tensors that hold q, k, v
    k_stride4: u32,
    v_stride4: u32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>; // [queries, q_stride4]
@group(0) @binding(2) var<storage, read> k: array<vec4<f32>>; // [Lk, k_stride4]
@group(0) @binding(3) var<storage, read> v: array<vec4<f32>>; // [Lk, v_stride4]
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>; // [queries, H * D/4]

override LANES: u32 = 64u;

// Below every score there is, and finite: WGSL may assume that infinities do not occur.
const LOWEST = -1e30;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let query = group.x * LANES + lane;
    // A lane beyond the last query computes it again and stores nothing: no divergent loop.
    let row = min(query, params.queries - 1u);
    let head = params.head_base + group.y;
    let slice = group.z * TILE_VALUES;
    bias_keys = params.keys;
    bias_heads = params.heads;

    let q_start = row * params.q_stride4 + params.q_first4 + head * params.depth4;
    let k_column = params.k_first4 + (head - params.kv_head_base) * params.depth4;
    let v_column = params.v_first4 + (head - params.kv_head_base) * params.depth4;
    let last_key = params.keys - 1u;
    let last_value = params.depth4 - 1u;

    var sum: array<vec4<f32>, TILE_VALUES>;
    for (var c = 0u; c < TILE_VALUES; c++) {
        sum[c] = vec4<f32>(0.0);
    }
    var highest = LOWEST;
    var total = 0.0;

    for (var key0 = 0u; key0 < params.keys; key0 += TILE_KEYS) {
        var weight: array<f32, TILE_KEYS>;
        var k_start: array<u32, TILE_KEYS>;
        var v_start: array<u32, TILE_KEYS>;
        for (var j = 0u; j < TILE_KEYS; j++) {
            // Beyond the last key the last is read again; it gets no weight.
            let key = min(key0 + j, last_key);
            k_start[j] = key * params.k_stride4 + k_column;
            v_start[j] = key * params.v_stride4 + v_column;
            weight[j] = 0.0;
        }
        for (var d = 0u; d < params.depth4; d++) {
            let query4 = q[q_start + d];
            for (var j = 0u; j < TILE_KEYS; j++) {
                weight[j] += dot(query4, k[k_start[j] + d]);
            }
        }
        var high = highest;
        for (var j = 0u; j < TILE_KEYS; j++) {
            let key = min(key0 + j, last_key);
            let score = params.scale * weight[j] + score_bias(head, params.query_base + row, key);
            weight[j] = select(LOWEST, score, key0 + j < params.keys);
            high = max(high, weight[j]);
        }
        // exp of less than -80 adds nothing to an f32 sum of at least 1.
        let keep = exp(max(highest - high, -80.0));
        highest = high;
        var part = 0.0;
        for (var j = 0u; j < TILE_KEYS; j++) {
            let share = exp(max(weight[j] - high, -80.0));
            weight[j] = select(0.0, share, key0 + j < params.keys);
            part += weight[j];
        }
        total = total * keep + part;
        for (var c = 0u; c < TILE_VALUES; c++) {
            let column = min(slice + c, last_value);
            var part4 = vec4<f32>(0.0);
            for (var j = 0u; j < TILE_KEYS; j++) {
                part4 += weight[j] * v[v_start[j] + column];
            }
            sum[c] = sum[c] * keep + part4;
        }
    }
    if query >= params.queries {
        return;
    }
    let start = (row * params.heads + head) * params.depth4;
    for (var c = 0u; c < TILE_VALUES; c++) {
        if slice + c < params.depth4 {
            out[start + slice + c] = sum[c] / total;
        }
    }
}
