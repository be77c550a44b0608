// p = softmax(scale s + bias), over each row; the columns behind the last key become 0
//
//   s [M, C] f32      p [M, C] f32, f16      C a multiple of 4, at least Lk
//
// One workgroup computes one row. Each invocation takes groups of four columns in turn, so that
// they read one contiguous piece, and keeps a maximum and a sum of its own, the sum rescaled where
// the maximum moves; at the end the parts are joined. Twice over the row, not three times.
//
//   workgroup: LANES; grid: rows folded over x and y

import package::reduce::{reduce_max, reduce_sum, LANES};
import package::bias::{score_bias, bias_keys, bias_heads};
import package::output::{Output4, pack_output4};

struct Params {
    rows: u32, // M of this dispatch
    row_base: u32, // its first row in the whole op
    cols4: u32, // C / 4
    keys: u32, // Lk
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> s: array<vec4<f32>>; // [M, C/4]
@group(0) @binding(2) var<storage, read_write> p: array<Output4>; // [M, C/4]

// Below every score there is, and finite: WGSL may assume that infinities do not occur.
const LOWEST = -1e30;

fn score(row: u32, key: u32, product: f32) -> f32 {
    if key >= params.keys {
        return LOWEST;
    }
    return params.scale * product + score_bias(0u, params.row_base + row, key);
}

fn score4(row: u32, col4: u32) -> vec4<f32> {
    let four = s[row * params.cols4 + col4];
    let key = 4u * col4;
    return vec4<f32>(
        score(row, key, four.x),
        score(row, key + 1u, four.y),
        score(row, key + 2u, four.z),
        score(row, key + 3u, four.w),
    );
}

// exp of less than -80 adds nothing to an f32 sum of at least 1.
fn share4(four: vec4<f32>, highest: f32) -> vec4<f32> {
    let shares = exp(max(four - highest, vec4<f32>(-80.0)));
    return select(vec4<f32>(0.0), shares, four > vec4<f32>(0.5 * LOWEST));
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.x + group.y * grid.x;
    if row >= params.rows {
        return;
    }
    bias_keys = params.keys;
    bias_heads = 1u;

    var highest = LOWEST;
    var part = 0.0;
    for (var c = lane; c < params.cols4; c += LANES) {
        let four = score4(row, c);
        let high = max(highest, max(max(four.x, four.y), max(four.z, four.w)));
        let shares = share4(four, high);
        part = part * exp(max(highest - high, -80.0)) + (shares.x + shares.y + shares.z + shares.w);
        highest = high;
    }
    let top = reduce_max(lane, highest);
    let total = reduce_sum(lane, part * exp(max(highest - top, -80.0)));
    for (var c = lane; c < params.cols4; c += LANES) {
        p[row * params.cols4 + c] = pack_output4(share4(score4(row, c), top) / total);
    }
}
