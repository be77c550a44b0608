// y += up(x): the shortcut around a level that upsamples, by repeating values (DupUp3D)
//
//   x [T, H, W, C] f32      y [FT T - drop, 2 H, 2 W, N] f32, in place
//
//   y[t, i, j, n] += x[t' / FT, i / 2, j / 2, (((n FT + t' % FT) 2 + i % 2) 2 + j % 2) / repeats]
//
// with t' = t + drop and repeats = 4 FT N / C: every channel of x is repeated, and the repeats are
// dealt out over (n, time, line, column).
//
//   workgroup: LANES values of y; grid: values folded over x and y

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
    let number = (group.x + group.y * grid.x) * LANES + lane;
    if number >= params.pixels * params.features {
        return;
    }
    let at = params.pixel_base * params.features + number;
    let n = at % params.features;
    let pixel = at / params.features;
    let j = pixel % params.width;
    let i = pixel / params.width % params.height;
    let t = pixel / (params.width * params.height) + params.drop;
    let dealt = ((n * params.factor_t + t % params.factor_t) * 2u + i % 2u) * 2u + j % 2u;
    let frame = t / params.factor_t * (params.height / 2u);
    let place = (frame + i / 2u) * (params.width / 2u) + j / 2u;
    y[at - params.y_base] += x[place * params.channels + dealt / params.repeats - params.x_base];
}
