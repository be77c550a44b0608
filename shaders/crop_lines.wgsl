// y = x[:, start .. start + H', :, :]: some lines of every frame
//
//   x [T, H, W, C] f32      starts [L] u32      y [T, H', W, C] f32
//
// start = starts[which] is read on the device: bands of lines share one recording, and differ in
// where they lie. It must be at most H - H'; more is taken for that.
//
//   workgroup: LANES values of one frame; grid: values folded over x and y

struct Params {
    count: u32, // values of a frame of y, H' W C
    spare: u32, // values of the lines that are left out, (H - H') W C
    line: u32, // W C
    which: u32, // which of the starts
    x_first: u32, // where the frame starts in the bound windows of x and y
    y_first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>; // [T, H, W, C]
@group(0) @binding(2) var<storage, read> starts: array<u32>; // [L]
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // [T, H', W, C]

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
    let start = min(starts[params.which] * params.line, params.spare);
    y[params.y_first + at] = x[params.x_first + start + at];
}
