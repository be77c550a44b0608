// y = epilogue(conv(x, w)) for any number of input channels: conv3d's twin for the few layers whose
// C is no multiple of 4, where x cannot be read four channels at a time
//
//   shapes, `up`, `folds` and params as in conv3d.wgsl
//
// One invocation computes one pixel for one output channel. A group of four weights may straddle
// taps, so each of the four finds its own place in x; the sum runs over (dt, di, dj, c) in one
// chain. Slow, and used where the whole layer is small.
//
//   workgroup: LANES channels; grid: (channels, pixels folded over y and z)

import package::weight::{load_weight4, weight_depth4};
import package::epilogue::{epilogue, epilogue_cols};

struct Params {
    tile_base: u32, // the first pixel of this dispatch
    tiles: u32, // pixels of this dispatch
    line_tiles: u32, // W << up
    height: u32, // H << up
    width: u32, // W << up
    up: u32, // 0 or 1
    channels: u32, // C
    cols: u32, // N
    kt: u32,
    kh: u32,
    kw: u32,
    folds: u32, // F
    x_base: u32, // where in x, past and y the bound windows start, in floats
    past_base: u32,
    y_base: u32,
    row_base: u32, // the first pixel that the epilogue's windows hold
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>; // [T, H, W, C]
@group(0) @binding(2) var<storage, read> past: array<f32>; // [kt-1, H, W, C]
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // [F T, H << up, W << up, N / F]

override LANES: u32 = 64u;

// Element `k` of the window of x that the pixel (t, top, left) sees, 0 beyond the edges.
fn load_x(t: u32, top: u32, left: u32, k: u32) -> f32 {
    let c = k % params.channels;
    let tap = k / params.channels;
    let dj = tap % params.kw;
    let di = tap / params.kw % params.kh;
    let dt = tap / (params.kw * params.kh);
    // Beyond the upper and left edges these wrap around to large numbers.
    let i = top + di - params.kh / 2u;
    let j = left + dj - params.kw / 2u;
    if dt >= params.kt || i >= params.height || j >= params.width {
        return 0.0;
    }
    let lines = params.height >> params.up;
    let place = (i >> params.up) * (params.width >> params.up) + (j >> params.up);
    let frame_pixels = lines * (params.width >> params.up);
    let frame = t + dt;
    if frame + 1u < params.kt {
        return past[(frame * frame_pixels + place) * params.channels + c - params.past_base];
    }
    let frame_of_x = frame + 1u - params.kt;
    return x[(frame_of_x * frame_pixels + place) * params.channels + c - params.x_base];
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = group.y + group.z * grid.y;
    if number >= params.tiles {
        return;
    }
    let row = params.tile_base + number;
    let left = row % params.width;
    let line = row / params.width;
    let top = line % params.height;
    let t = line / params.height;
    let column = group.x * LANES + lane;
    if column >= params.cols {
        return;
    }
    epilogue_cols = params.cols;

    let depth = params.kt * params.kh * params.kw * params.channels;
    weight_depth4 = (depth + 3u) / 4u;
    var sum = 0.0;
    for (var k = 0u; k < depth; k += 4u) {
        let w = load_weight4(column, k / 4u);
        for (var lane4 = 0u; lane4 < 4u; lane4++) {
            sum += w[lane4] * load_x(t, top, left, k + lane4);
        }
    }
    let features = params.cols / params.folds;
    let fold = column / features;
    let out = ((t * params.folds + fold) * params.height + top) * params.width + left;
    let value = epilogue(row - params.row_base, column, sum);
    y[out * features + column - fold * features - params.y_base] = value;
}
