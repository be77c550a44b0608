// past <- [past[1..], x]: one new frame enters the frames that a causal convolution remembers
//
//   past [P, F] f32, in place      x [F] f32      F = H W C
//
// One invocation moves one value of every remembered frame, from the oldest on.
//
//   workgroup: LANES values; grid: values folded over x and y

struct Params {
    frame: u32, // F
    frames: u32, // P
    x_base: u32, // where the frame starts in the bound window of x
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>; // [F]
@group(0) @binding(2) var<storage, read_write> past: array<f32>; // [P, F]

override LANES: u32 = 64u;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.x + group.y * grid.x) * LANES + lane;
    if at >= params.frame {
        return;
    }
    for (var p = 0u; p + 1u < params.frames; p++) {
        past[p * params.frame + at] = past[(p + 1u) * params.frame + at];
    }
    past[(params.frames - 1u) * params.frame + at] = x[params.x_base + at];
}
