// y += up(x): the shortcut around a level that upsamples, by repeating values (DupUp3D)
//
//   x [T, H, W, C] f32      y [FT T - drop, 2 H, 2 W, N] f32, in place
//
//   y[t, i, j, n] += x[t' / FT, i / 2, j / 2, (((n FT + t' % FT) 2 + i % 2) 2 + j % 2) / repeats]
//
// with t' = t + drop and repeats = 4 FT N / C: every channel of x is repeated, and the repeats are
// dealt out over (n, time, line, column).
//
// An invocation takes four features of a pixel: finding the pixel is most of the work.
//
//   workgroup: LANES groups of four; grid: groups folded over x and y

struct Params {
    pixels: u32, // pixels of y in this dispatch
    pixel_base: u32, // the first of them
    height: u32, // 2 H
    width: u32, // 2 W
    channels: u32, // C
    features: u32, // N
    factor_t: u32, // FT
    drop: u32, // frames left out at the start of a video
    repeats: u32,
    x_base: u32, // where in x and y the bound windows start
    y_base: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>; // [T, H, W, C]
@group(0) @binding(2) var<storage, read_write> y: array<f32>; // [FT T - drop, 2 H, 2 W, N]

override LANES: u32 = 64u;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let fours = (params.features + 3u) / 4u;
    let number = (group.x + group.y * grid.x) * LANES + lane;
    if number >= params.pixels * fours {
        return;
    }
    let pixel = params.pixel_base + number / fours;
    let j = pixel % params.width;
    let line = pixel / params.width; // of all frames
    let i = line % params.height;
    let t = line / params.height + params.drop;
    let place = (t / params.factor_t * (params.height / 2u) + i / 2u) * (params.width / 2u) + j / 2u;
    let source = place * params.channels - params.x_base;
    let out = pixel * params.features - params.y_base;
    let first = number % fours * 4u;
    for (var n = first; n < min(first + 4u, params.features); n++) {
        let dealt = ((n * params.factor_t + t % params.factor_t) * 2u + i % 2u) * 2u + j % 2u;
        y[out + n] += x[source + dealt / params.repeats];
    }
}
