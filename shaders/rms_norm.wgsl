// y = gain x / sqrt(mean(x^2) + eps), over each row
//
//   x [M, C] f32      gain [C] f32      y [M, C] f32 or f16      C a multiple of 4
//
// One workgroup computes one row, as in layer_norm.wgsl.
//
//   workgroup: LANES; grid: rows folded over x and y

import package::common::rows::{row_sum, LANES};
import package::output::{Output4, pack_output4};

struct Params {
    rows: u32, // M of this dispatch
    cols4: u32, // C / 4
    eps: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>; // [M, C/4]
@group(0) @binding(2) var<storage, read_write> y: array<Output4>; // [M, C/4]
@group(0) @binding(3) var<storage, read> gain: array<vec4<f32>>; // [C/4]

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
    for (var c = lane; c < params.cols4; c += LANES) {
        y[start + c] = pack_output4(gain[c] * (x[start + c] * scale));
    }
}
