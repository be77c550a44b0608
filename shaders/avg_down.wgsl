// y += down(x): the shortcut around a level that downsamples, by averaging values (AvgDown3D)
//
//   x [T, H, W, C] f32      y [(T + pad) / FT, H / FS, W / FS, N] f32, in place
//
//   y[t, i, j, n] += mean over r < G of x[t FT + k / FS² % FT - pad, i FS + k / FS % FS, j FS + k % FS, k / (FT FS²)]
//
// with k = n G + r and G = FT FS² C / N: the values of FT frames, FS lines and FS columns are channels,
// (channel, time, line, column), and each output is the mean of G neighbours. `pad` frames of
// zeros precede the first.
//
// An invocation takes four features of a pixel: finding the pixel is most of the work.
//
//   workgroup: LANES groups of four; grid: groups folded over x and y

struct Params {
    pixels: u32, // pixels of y in this dispatch
    pixel_base: u32, // the first of them
    height: u32, // of y
    width: u32,
    channels: u32, // C
    features: u32, // N
    factor_t: u32, // FT
    factor_s: u32, // FS
    pad: u32,
    group: u32, // G
    scale: f32, // 1 / G
    x_base: u32, // where in x and y the bound windows start
    y_base: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>; // [T, H, W, C]
@group(0) @binding(2) var<storage, read_write> y: array<f32>; // [(T + pad) / FT, H / FS, W / FS, N]

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
    let t = line / params.height;
    let lines = params.height * params.factor_s;
    let pixels = params.width * params.factor_s;
    let out = pixel * params.features - params.y_base;
    let first = number % fours * 4u;
    for (var n = first; n < min(first + 4u, params.features); n++) {
        var sum = 0.0;
        for (var r = 0u; r < params.group; r++) {
            let k = n * params.group + r;
            let plane = k / params.factor_s / params.factor_s;
            let frame = t * params.factor_t + plane % params.factor_t;
            if frame < params.pad {
                continue;
            }
            let a = i * params.factor_s + k / params.factor_s % params.factor_s;
            let b = j * params.factor_s + k % params.factor_s;
            let place = ((frame - params.pad) * lines + a) * pixels + b;
            sum += x[place * params.channels + plane / params.factor_t - params.x_base];
        }
        y[out + n] += sum * params.scale;
    }
}
