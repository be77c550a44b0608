// y = turn(gain x / sqrt(mean(x^2) + eps)), over each row: the norm of q and k over all heads, then
// the rotary embedding, where each pair of columns (a, b) = (2 i, 2 i + 1) of each head becomes
//
//   (a cos - b sin, a sin + b cos)
//
//   x [M, H, D] f32      gain [H, D] f32      table [P, D/2] (cos, sin)      y [M, H, D] f32 or f16
//   D a multiple of 4
//
// A token stands at (t, y, x) of a grid; the first pairs of a head turn with t, the next with y,
// the rest with x. Row p of the table has the angles of position p, each pair at its own axis'
// frequency. (Su et al. 2021, in the three-dimensional form of Wan.)
//
// One workgroup computes one row, as in rms_norm.wgsl.
//
//   workgroup: LANES; grid: rows folded over x and y

import package::common::rows::{row_sum, LANES};
import package::output::{Output4, pack_output4};

struct Params {
    rows: u32, // M of this dispatch
    cols4: u32, // H * D/4
    eps: f32,
    head4: u32, // D / 4
    row_base: u32, // the first token of this dispatch
    grid_h: u32, // tokens along y
    grid_w: u32, // tokens along x
    pairs_t: u32, // pairs of a head that turn with t
    pairs_th: u32, // and with t or y
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>; // [M, H * D/4]
@group(0) @binding(2) var<storage, read_write> y: array<Output4>; // [M, H * D/4]
@group(0) @binding(3) var<storage, read> gain: array<vec4<f32>>; // [H * D/4]
@group(0) @binding(4) var<storage, read> table: array<vec2<f32>>; // [P, D/2]

fn turn(pair: u32, position: vec3<u32>) -> vec2<f32> {
    let beyond_t = select(position.x, position.y, pair >= params.pairs_t);
    let along = select(beyond_t, position.z, pair >= params.pairs_th);
    return table[along * params.head4 * 2u + pair];
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
    let start = row * params.cols4;
    var squares = 0.0;
    for (var c = lane; c < params.cols4; c += LANES) {
        squares += dot(x[start + c], x[start + c]);
    }
    let mean = row_sum(lane, squares) / f32(params.cols4 * 4u);
    let scale = 1.0 / sqrt(mean + params.eps);

    let token = params.row_base + row;
    let line = token / params.grid_w;
    let position = vec3<u32>(line / params.grid_h, line % params.grid_h, token % params.grid_w);
    for (var c = lane; c < params.cols4; c += LANES) {
        let pair = c % params.head4 * 2u;
        let first = turn(pair, position);
        let second = turn(pair + 1u, position);
        let v = gain[c] * (x[start + c] * scale);
        let turned = vec4<f32>(
            v.x * first.x - v.y * first.y,
            v.x * first.y + v.y * first.x,
            v.z * second.x - v.w * second.y,
            v.z * second.y + v.w * second.x,
        );
        y[start + c] = pack_output4(turned);
    }
}
