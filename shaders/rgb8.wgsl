// y = round(255 clamp(x / 2 + 1 / 2, 0, 1)) as bytes, four to a word, the first in the lowest bits
//
//   x [T, H, W, 3 P P] f32      y [T, P H, P W, 3] u8      P pixels along a side of a patch
//
//   y[t, P i + a, P j + b, colour] = f(x[t, i, j, (colour P + b) P + a])
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
    let channel = (colour * p + column % p) * p + line % p;
    let value = x[place * (3u * p * p) + channel - params.x_base];
    return u32(round(clamp(value * 0.5 + 0.5, 0.0, 1.0) * 255.0));
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
