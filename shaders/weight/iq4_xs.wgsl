// weight: four weights at a time, from blocks of 256 4-bit codes of uneven values along K, 32 of them
// with a scale of 6 bits, all with a factor (IQ4_XS of GGUF).
//
// Eight neighbouring rows are interleaved, as in weight.wgsl. Each block has its factor as f32, two
// words of scales, a signed byte each, then the codes of each 32 numbers in four words as in
// q4_0.wgsl.

import package::common::iq4::{iq4_values};

struct Weight4 {
    eight: u32, // 4-bit codes
    scales: u32, // int8 times 4
    factor: f32,
    col: u32,
}

@group(0) @binding(8) var<storage, read> weight_data: array<u32>; // [N/8, K/256, 1 + 2 + 32, 8]

var<private> weight_depth4: u32;

fn fetch_weight4(row: u32, col: u32) -> Weight4 {
    let block = ((row >> 3u) * (weight_depth4 >> 6u) + (col >> 6u)) * 280u + (row & 7u);
    let word = ((col >> 3u) & 7u) * 4u + (col & 3u);
    return Weight4(
        weight_data[block + 24u + word * 8u],
        weight_data[block + 8u + ((col >> 5u) & 1u) * 8u],
        bitcast<f32>(weight_data[block]),
        col,
    );
}

fn unpack_weight4(fetched: Weight4) -> vec4<f32> {
    let shift = vec4<u32>(0u, 8u, 16u, 24u) + vec4<u32>(fetched.col & 4u);
    let codes = (vec4<u32>(fetched.eight) >> shift) & vec4<u32>(15u);
    // To the top of a word, and down again with its sign.
    let top = fetched.scales << (24u - ((fetched.col >> 3u) & 3u) * 8u);
    let scale = fetched.factor * f32(bitcast<i32>(top) >> 24u);
    return scale * iq4_values(codes);
}

fn load_weight4(row: u32, col: u32) -> vec4<f32> {
    return unpack_weight4(fetch_weight4(row, col));
}
