// latents[c, t, y P + a, x Q + b] = tokens[(t, y, x), (a, b, c)]
//
//   tokens [T * H/P * W/Q, P * Q * C] f32      latents [C, T, H, W] f32
//
// The inverse of patchify.wgsl but for the order of the columns: channels come last here, as
// Wan's output projection has them. One invocation copies one element.
//
//   workgroup: LANES; grid: elements folded over x and y

struct Params {
    count: u32, // elements of this dispatch
    row_base: u32, // its first token
    channels: u32, // C
    frames: u32, // T
    height: u32, // H
    width: u32, // W
    patch_h: u32, // P
    patch_w: u32, // Q
}

@group(0) @binding(0) var<uniform> params: Params;
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

    let grid_w = params.width / params.patch_w;
    let grid_h = params.height / params.patch_h;
    let frame = token / (grid_w * grid_h);
    let channel = col % params.channels;
    let inside = col / params.channels;
    let y = token / grid_w % grid_h * params.patch_h + inside / params.patch_w;
    let x = token % grid_w * params.patch_w + inside % params.patch_w;
    let plane = channel * params.frames + frame;
    latents[(plane * params.height + y) * params.width + x] = tokens[at];
}
