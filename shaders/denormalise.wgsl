// y[p, c] = activate(x[c, p] deviation[c] + mean[c]): latents as the sampler has them, to the
// decoder's own space and channels last
//
//   x [C, P] f32      statistics [2, C] f32: deviation, mean      y [P, C] f32      P = T H W
//
//   workgroup: LANES values of y; grid: values folded over x and y

import package::activation::{activate};

struct Params {
    pixels: u32, // P
    channels: u32, // C
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>; // [C, P]
@group(0) @binding(2) var<storage, read> statistics: array<f32>; // [2, C]
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // [P, C]

override LANES: u32 = 64u;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.x + group.y * grid.x) * LANES + lane;
    if at >= params.pixels * params.channels {
        return;
    }
    let c = at % params.channels;
    let pixel = at / params.channels;
    let value = x[c * params.pixels + pixel];
    y[at] = activate(value * statistics[c] + statistics[params.channels + c]);
}
