// y = silu(x), element by element
//
//   workgroup: LANES; grid: elements folded over x and y

import package::common::silu::{silu};

struct Params {
    count: u32, // elements
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>; // [count]
@group(0) @binding(2) var<storage, read_write> y: array<f32>; // [count]

override LANES: u32 = 64u;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.x + group.y * grid.x) * LANES + lane;
    if at < params.count {
        y[at] = silu(x[at]);
    }
}
