// y = the central part of a picture in planes: BT.709, limited range, 4:2:0, as media/color.rs has it
//
//   x [H, W, 3] u8, four bytes to a word      y: Y [h', SY] u8, Cb and Cr [h' / 2, SC] u8
//
// with h' and w' the part's height and width rounded up to even, SY = w' and SC = w' / 2 rounded up to
// whole words. A missing last line or column repeats its neighbour. A chroma sample is the [1 2 1]
// average of three columns over two lines, in fixed point of 16 bits, rounded to nearest.
//
// An invocation makes a word, four bytes of a row of a plane.
//
//   workgroup: LANES words; grid: words folded over x and y

struct Params {
    words: u32, // of all planes
    luma_words: u32, // of Y
    luma_row: u32, // words of a row of Y
    chroma_words: u32, // of Cb, and of Cr
    chroma_row: u32, // words of a row of Cb
    width: u32, // w
    height: u32, // h
    line: u32, // W
    first: u32, // the byte of the first pixel in the bound window
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>; // [H, W, 3] u8
@group(0) @binding(2) var<storage, read_write> y: array<u32>; // Y, Cb, Cr

override LANES: u32 = 64u;

fn pixel(line: u32, column: u32) -> vec3<i32> {
    let i = min(line, params.height - 1u);
    let j = min(column, params.width - 1u);
    let at = params.first + (i * params.line + j) * 3u;
    var colour = vec3<i32>(0);
    for (var c = 0u; c < 3u; c++) {
        colour[c] = i32((x[(at + c) / 4u] >> (8u * ((at + c) % 4u))) & 0xffu);
    }
    return colour;
}

fn weighed(weights: vec3<i32>, colour: vec3<i32>) -> i32 {
    let products = weights * colour;
    return products.x + products.y + products.z;
}

fn luma(line: u32, column: u32) -> u32 {
    let sum = weighed(vec3<i32>(11966, 40254, 4064), pixel(line, column));
    return u32((sum + (16 << 16u) + (1 << 15u)) >> 16u);
}

fn chroma(weights: vec3<i32>, line: u32, column: u32) -> u32 {
    let middle = 2u * column;
    let left = max(middle, 1u) - 1u;
    var sum = vec3<i32>(0);
    for (var i = 0u; i < 2u; i++) {
        let at = 2u * line + i;
        sum += pixel(at, left) + 2 * pixel(at, middle) + pixel(at, middle + 1u);
    }
    return u32(clamp((weighed(weights, sum) + (128 << 19u) + (1 << 18u)) >> 19u, 0, 255));
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
    if word < params.luma_words {
        let line = word / params.luma_row;
        let column = word % params.luma_row * 4u;
        for (var i = 0u; i < 4u; i++) {
            packed |= luma(line, column + i) << (8u * i);
        }
    } else {
        let place = (word - params.luma_words) % params.chroma_words;
        let red = word - params.luma_words >= params.chroma_words;
        let weights = select(vec3<i32>(-6596, -22188, 28784), vec3<i32>(28784, -26145, -2639), red);
        let line = place / params.chroma_row;
        let column = place % params.chroma_row * 4u;
        for (var i = 0u; i < 4u; i++) {
            packed |= chroma(weights, line, column + i) << (8u * i);
        }
    }
    y[word] = packed;
}
