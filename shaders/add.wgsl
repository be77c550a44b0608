// y = a + b, element by element
//
//   a, b, y [M, C] f32, f16, all of one type      C a multiple of 4
//
//   workgroup: LANES groups of four; grid: groups folded over x and y

import package::input::{Input4, unpack_input4};
import package::output::{Output4, pack_output4};

struct Params {
    count4: u32, // groups of four
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<Input4>; // [count4]
@group(0) @binding(2) var<storage, read> b: array<Input4>; // [count4]
@group(0) @binding(3) var<storage, read_write> y: array<Output4>; // [count4]

override LANES: u32 = 64u;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.x + group.y * grid.x) * LANES + lane;
    if at < params.count4 {
        y[at] = pack_output4(unpack_input4(a[at]) + unpack_input4(b[at]));
    }
}
