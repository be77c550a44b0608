// y = activate(x / max(|x|, 1e-12) sqrt(C) gain), |x| the length of a pixel's channels
//
//   x [rows, C] f32      gain [C] f32      y [rows, C] f32      (WanRMS_norm: no epsilon, no bias)
//
// TEAM invocations normalise one pixel, neighbours taking neighbouring channels, and join their sums
// of squares. Alone (TEAM = 1) an invocation sums its pixel's channels from 0 upwards.
//
//   workgroup: LANES / TEAM pixels; grid: pixels folded over x and y

import package::activation::{activate};
import package::reduce::{reduce_sum, LANES, TEAM};

struct Params {
    rows: u32, // pixels of this dispatch
    channels: u32, // C
    scale: f32, // sqrt(C)
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>; // [rows, C]
@group(0) @binding(2) var<storage, read> gain: array<f32>; // [C]
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // [rows, C]

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let pixel = (group.x + group.y * grid.x) * (LANES / TEAM) + lane / TEAM;
    // A team beyond the last pixel computes it again and stores nothing: all reach the barrier.
    let first = min(pixel, params.rows - 1u) * params.channels;
    var squares = 0.0;
    for (var c = lane % TEAM; c < params.channels; c += TEAM) {
        let value = x[first + c];
        squares += value * value;
    }
    squares = reduce_sum(lane, squares);
    if pixel >= params.rows {
        return;
    }
    let scale = params.scale / max(sqrt(squares), 1e-12);
    for (var c = lane % TEAM; c < params.channels; c += TEAM) {
        y[first + c] = activate(x[first + c] * scale * gain[c]);
    }
}
