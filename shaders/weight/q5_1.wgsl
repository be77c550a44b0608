// weight: four weights at a time, from blocks of 32 5-bit integers, a scale and a minimum along K
// (Q5_1 of GGUF).
//
// Eight neighbouring rows are interleaved, as in weight.wgsl. Each block has a word of its scale
// and minimum, a word of fifth bits, one for each number, then four words of the lower four bits as
// in q4_1.wgsl.

struct Weight4 {
    eight: u32, // lower bits
    fifth: u32, // fifth bits of the block
    factors: u32, // f16 of scale, of minimum
    col: u32,
}

@group(0) @binding(8) var<storage, read> weight_data: array<u32>; // [N/8, K/32, 1 + 1 + 4, 8]

var<private> weight_depth4: u32;

fn fetch_weight4(row: u32, col: u32) -> Weight4 {
    let block = ((row >> 3u) * (weight_depth4 >> 3u) + (col >> 3u)) * 48u + (row & 7u);
    return Weight4(
        weight_data[block + 16u + (col & 3u) * 8u],
        weight_data[block + 8u],
        weight_data[block],
        col,
    );
}

fn unpack_weight4(fetched: Weight4) -> vec4<f32> {
    let shift = vec4<u32>(0u, 8u, 16u, 24u) + vec4<u32>(fetched.col & 4u);
    let lower = (vec4<u32>(fetched.eight) >> shift) & vec4<u32>(15u);
    let bits = vec4<u32>(fetched.fifth >> ((fetched.col & 7u) * 4u)) >> vec4<u32>(0u, 1u, 2u, 3u);
    let integers = lower + (bits & vec4<u32>(1u)) * vec4<u32>(16u);
    let factors = unpack2x16float(fetched.factors);
    return factors.x * vec4<f32>(integers) + vec4<f32>(factors.y);
}

fn load_weight4(row: u32, col: u32) -> vec4<f32> {
    return unpack_weight4(fetch_weight4(row, col));
}
