// y = activate(x / max(|x|, 1e-12) sqrt(C) gain), |x| the length of a pixel's channels
//
//   x [rows, C] f32      gain [C] f32      y [rows, C] f32      (WanRMS_norm: no epsilon, no bias)
//
// One invocation normalises one pixel, its channels summed from 0 upwards; no workgroup memory.
//
//   workgroup: LANES pixels; grid: pixels folded over x and y

import package::activation::{activate};

struct Params {
    rows: u32, // pixels of this dispatch
    channels: u32, // C
    scale: f32, // sqrt(C)
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>; // [rows, C]
@group(0) @binding(2) var<storage, read> gain: array<f32>; // [C]
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // [rows, C]

override LANES: u32 = 64u;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = (group.x + group.y * grid.x) * LANES + lane;
    if row >= params.rows {
        return;
    }
    let first = row * params.channels;
    var squares = 0.0;
    for (var c = 0u; c < params.channels; c++) {
        let value = x[first + c];
        squares += value * value;
    }
    let scale = params.scale / max(sqrt(squares), 1e-12);
    for (var c = 0u; c < params.channels; c++) {
        y[first + c] = activate(x[first + c] * scale * gain[c]);
    }
}
