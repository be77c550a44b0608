// y = round(255 clamp(gain x + shift, 0, 1)) as bytes, four to a word, the first in the lowest bits
//
//   x [T, H, W, 3 P P] f32      y [T, P H, P W, 3] u8      P pixels along a side of a patch
//
//   y[t, P i + a, P j + b, colour] = f(x[t, i, j, colour P P + line_step a + column_step b])
//
// The steps are 1 and P, or P and 1: by columns of a patch, or by lines.
//
// `round` takes halves to even numbers, as numpy's does. The last word is filled up with zeros.
//
//   workgroup: LANES words; grid: words folded over x and y

struct Params {
    words: u32, // of this dispatch
    bytes: u32, // of this dispatch
    byte_base: u32, // the first of them
    height: u32, // P H
    width: u32, // P W
    patch_size: u32, // P
    line_step: u32,
    column_step: u32,
    gain: f32,
    shift: f32,
    x_base: u32, // where in x the bound window starts
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>; // [T, H, W, 3 P P]
@group(0) @binding(2) var<storage, read_write> y: array<u32>; // [T P H P W 3 / 4]

override LANES: u32 = 64u;

fn shade(at: u32) -> u32 {
    let p = params.patch_size;
    let colour = at % 3u;
    let pixel = at / 3u;
    let column = pixel % params.width;
    let line = pixel / params.width; // of all frames: a frame has whole patches
    let place = (line / p) * (params.width / p) + column / p;
    let within = line % p * params.line_step + column % p * params.column_step;
    let channel = colour * p * p + within;
    let value = x[place * (3u * p * p) + channel - params.x_base];
    return u32(round(clamp(value * params.gain + params.shift, 0.0, 1.0) * 255.0));
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let word = (group.x + group.y * grid.x) * LANES + lane;
    if word >= params.words {
        return;
    }
    var packed = 0u;
    for (var i = 0u; i < 4u; i++) {
        let byte = word * 4u + i;
        if byte < params.bytes {
            packed |= shade(params.byte_base + byte) << (8u * i);
        }
    }
    y[word] = packed;
}
