// y = x[:, first .. first + C]: some columns of a tensor, as a tensor
//
//   x [M, stride] f32, f16      y [M, C] f32, f16      multiples of 4, counted in groups of four
//
// For devices that cannot bind the keys of all heads at once, and to give q, k and v one element
// type. One invocation copies four values.
//
//   workgroup: LANES; grid: groups of four folded over x and y

import package::input::{Input4, unpack_input4};
import package::output::{Output4, pack_output4};

struct Params {
    count4: u32, // M * C/4
    cols4: u32, // C / 4
    first4: u32, // the first column
    stride4: u32, // columns of x
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Input4>; // [M, stride4]
@group(0) @binding(2) var<storage, read_write> y: array<Output4>; // [M, C/4]

override LANES: u32 = 64u;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.x + group.y * grid.x) * LANES + lane;
    if at < params.count4 {
        let source = at / params.cols4 * params.stride4 + params.first4 + at % params.cols4;
        y[at] = pack_output4(unpack_input4(x[source]));
    }
}
