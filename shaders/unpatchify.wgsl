// latents[c, t, y P + a, x Q + b] = tokens[(t, y, x), (a, b, c)]
//
//   tokens [T * H/P * W/Q, P * Q * C] f32      latents [C, T, H, W] f32
//
// The inverse of patchify.wgsl but for the order of the columns: channels come last here, as
// Wan's output projection has them. One invocation copies one element.
//
//   workgroup: LANES; grid: elements folded over x and y

import package::common::patches::{params, place};

@group(0) @binding(1) var<storage, read> tokens: array<f32>; // [rows, P * Q * C]
@group(0) @binding(2) var<storage, read_write> latents: array<f32>; // [C, T, H, W]

override LANES: u32 = 64u;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.x + group.y * grid.x) * LANES + lane;
    if at >= params.count {
        return;
    }
    let cols = params.channels * params.patch_h * params.patch_w;
    let token = params.row_base + at / cols;
    let col = at % cols;
    let channel = col % params.channels;
    let inside = col / params.channels;
    latents[place(token, channel, inside)] = tokens[at];
}
