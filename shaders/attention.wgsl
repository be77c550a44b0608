// out = softmax(scale q k^T + bias) v, head by head, in one pass over the keys
//
//   q [Lq, H, D]      k [Lk, H, D]      v [Lk, H, D]      out [Lq, H, D]      f32, f16
//
// Each of q, k, v is a range of columns of a [rows, columns] tensor, so that a fused projection
// can be read where it lies. D is TILE_DEPTH x 4; all sizes ending in 4 count vectors of four.
//
// One invocation computes TILE_QUERIES rows of one head: no workgroup memory, no barrier, no stored
// scores. It takes TILE_KEYS keys at a time, scores them, moves the running maximum, rescales the
// sums once and adds the weighted values (the online softmax of Milakov & Gimelshein 2018, as
// FlashAttention uses it). A group is summed by itself before it joins: the chain of roundings is
// TILE_KEYS times shorter, which shows where hundreds of keys are the same padding. All
// invocations of a workgroup read the same keys and values at the same time: one load serves them
// all, and each of their queries. Keys are always taken from 0 upwards in groups of TILE_KEYS,
// whatever the grid.
//
//   workgroup: LANES x TILE_QUERIES queries; grid: (queries, heads)

import package::tile::{TILE_DEPTH, TILE_KEYS, TILE_QUERIES};
import package::bias::{score_bias, bias_keys, bias_heads};
import package::common::heads::{params, q, k, v, out, LOWEST};
import package::input::{unpack_input4};
import package::output::{pack_output4};

override LANES: u32 = 64u;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let query0 = group.x * LANES * TILE_QUERIES + lane;
    let head = params.head_base + group.y;
    bias_keys = params.keys;
    bias_heads = params.heads;

    let k_column = params.k_first4 + (head - params.kv_head_base) * TILE_DEPTH;
    let v_column = params.v_first4 + (head - params.kv_head_base) * TILE_DEPTH;
    let last_key = params.keys - 1u;

    var row: array<u32, TILE_QUERIES>;
    var query: array<array<vec4<f32>, TILE_DEPTH>, TILE_QUERIES>;
    var sum: array<array<vec4<f32>, TILE_DEPTH>, TILE_QUERIES>;
    var highest: array<f32, TILE_QUERIES>;
    var total: array<f32, TILE_QUERIES>;
    for (var i = 0u; i < TILE_QUERIES; i++) {
        // Beyond the last query it is computed again and not stored: no divergent loop.
        row[i] = min(query0 + i * LANES, params.queries - 1u);
        let start = row[i] * params.q_stride4 + params.q_first4 + head * TILE_DEPTH;
        for (var c = 0u; c < TILE_DEPTH; c++) {
            query[i][c] = params.scale * unpack_input4(q[start + c]);
            sum[i][c] = vec4<f32>(0.0);
        }
        highest[i] = LOWEST;
        total[i] = 0.0;
    }

    for (var key0 = 0u; key0 < params.keys; key0 += TILE_KEYS) {
        var weight: array<array<f32, TILE_KEYS>, TILE_QUERIES>;
        var v_start: array<u32, TILE_KEYS>;
        for (var j = 0u; j < TILE_KEYS; j++) {
            // Beyond the last key the last is read again; it gets no weight.
            let key = min(key0 + j, last_key);
            let start = key * params.k_stride4 + k_column;
            v_start[j] = key * params.v_stride4 + v_column;
            var products: array<vec4<f32>, TILE_QUERIES>;
            for (var i = 0u; i < TILE_QUERIES; i++) {
                products[i] = vec4<f32>(0.0);
            }
            for (var c = 0u; c < TILE_DEPTH; c++) {
                let k4 = unpack_input4(k[start + c]);
                for (var i = 0u; i < TILE_QUERIES; i++) {
                    products[i] += query[i][c] * k4;
                }
            }
            for (var i = 0u; i < TILE_QUERIES; i++) {
                let four = products[i];
                let score = four.x + four.y + four.z + four.w
                    + score_bias(head, params.query_base + row[i], key);
                weight[i][j] = select(LOWEST, score, key0 + j < params.keys);
            }
        }
        var keep: array<f32, TILE_QUERIES>;
        for (var i = 0u; i < TILE_QUERIES; i++) {
            var high = highest[i];
            for (var j = 0u; j < TILE_KEYS; j++) {
                high = max(high, weight[i][j]);
            }
            // exp of less than -80 adds nothing to an f32 sum of at least 1.
            keep[i] = exp(max(highest[i] - high, -80.0));
            highest[i] = high;
            var part = 0.0;
            for (var j = 0u; j < TILE_KEYS; j++) {
                let share = exp(max(weight[i][j] - high, -80.0));
                weight[i][j] = select(0.0, share, key0 + j < params.keys);
                part += weight[i][j];
            }
            total[i] = total[i] * keep[i] + part;
        }
        for (var c = 0u; c < TILE_DEPTH; c++) {
            var part: array<vec4<f32>, TILE_QUERIES>;
            for (var i = 0u; i < TILE_QUERIES; i++) {
                part[i] = vec4<f32>(0.0);
            }
            for (var j = 0u; j < TILE_KEYS; j++) {
                let v4 = unpack_input4(v[v_start[j] + c]);
                for (var i = 0u; i < TILE_QUERIES; i++) {
                    part[i] += weight[i][j] * v4;
                }
            }
            for (var i = 0u; i < TILE_QUERIES; i++) {
                sum[i][c] = sum[i][c] * keep[i] + part[i];
            }
        }
    }
    for (var i = 0u; i < TILE_QUERIES; i++) {
        if query0 + i * LANES < params.queries {
            let start = (row[i] * params.heads + head) * TILE_DEPTH;
            for (var c = 0u; c < TILE_DEPTH; c++) {
                out[start + c] = pack_output4(sum[i][c] / total[i]);
            }
        }
    }
}
