// tokens[(t, y, x), (c, a, b)] = latents[c, t, y P + a, x Q + b]
//
//   latents [C, T, H, W] f32      tokens [T * H/P * W/Q, C * P * Q] f32
//
// Rows in the order of the grid, columns in the order of a Conv3d weight [N, C, 1, P, Q], so that
// the patch embedding is a product with that weight as it lies in the file. One invocation copies
// one element.
//
//   workgroup: LANES; grid: elements folded over x and y

import package::common::patches::{params, place};

@group(0) @binding(1) var<storage, read> latents: array<f32>; // [C, T, H, W]
@group(0) @binding(2) var<storage, read_write> tokens: array<f32>; // [rows, C * P * Q]

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
    let patch_size = params.patch_h * params.patch_w;
    let cols = params.channels * patch_size;
    let token = params.row_base + at / cols;
    let col = at % cols;
    let channel = col / patch_size;
    let inside = col % patch_size;
    tokens[at] = latents[place(token, channel, inside)];
}
