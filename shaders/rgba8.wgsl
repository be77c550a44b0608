// y = the central part of a picture, a word a pixel: red in the lowest bits, alpha 255
//
//   x [H, W, 3] u8, four bytes to a word      y [h, STRIDE] u32      STRIDE >= w
//
//   y[i, j] = x[top + i, left + j]
//
// Rows of y may be longer than the picture, as copies to textures need them; the words beyond it are not written.
//
//   workgroup: LANES pixels; grid: pixels folded over x and y

struct Params {
    pixels: u32, // h w
    width: u32, // w
    stride: u32, // pixels of a row of y
    line: u32, // W
    first: u32, // the byte of the first pixel in the bound window
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>; // [H, W, 3] u8
@group(0) @binding(2) var<storage, read_write> y: array<u32>; // [h, STRIDE]

override LANES: u32 = 64u;

fn byte(at: u32) -> u32 {
    return (x[at / 4u] >> (8u * (at % 4u))) & 0xffu;
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let pixel = (group.x + group.y * grid.x) * LANES + lane;
    if pixel >= params.pixels {
        return;
    }
    let i = pixel / params.width;
    let j = pixel % params.width;
    let at = params.first + (i * params.line + j) * 3u;
    let colour = byte(at) | (byte(at + 1u) << 8u) | (byte(at + 2u) << 16u);
    y[i * params.stride + j] = colour | 0xff000000u;
}
