// weight: four weights at a time, from blocks of 32 4-bit integers, a scale and a minimum along K
// (Q4_1 of GGUF).
//
// Eight neighbouring rows are interleaved, as in weight.wgsl. Each block has a word of its scale
// and minimum, then four words of integers in the order of the file: the lower halves of four bytes
// are neighbours, the upper halves are the four numbers 16 later.

struct Weight4 {
    eight: u32, // 4-bit integers
    factors: u32, // f16 of scale, of minimum
    col: u32,
}

@group(0) @binding(8) var<storage, read> weight_data: array<u32>; // [N/8, K/32, 1 + 4, 8]

var<private> weight_depth4: u32;

fn fetch_weight4(row: u32, col: u32) -> Weight4 {
    let block = ((row >> 3u) * (weight_depth4 >> 3u) + (col >> 3u)) * 40u + (row & 7u);
    return Weight4(
        weight_data[block + 8u + (col & 3u) * 8u],
        weight_data[block],
        col,
    );
}

fn unpack_weight4(fetched: Weight4) -> vec4<f32> {
    let shift = vec4<u32>(0u, 8u, 16u, 24u) + vec4<u32>(fetched.col & 4u);
    let integers = (vec4<u32>(fetched.eight) >> shift) & vec4<u32>(15u);
    let factors = unpack2x16float(fetched.factors);
    return factors.x * vec4<f32>(integers) + vec4<f32>(factors.y);
}

fn load_weight4(row: u32, col: u32) -> vec4<f32> {
    return unpack_weight4(fetch_weight4(row, col));
}
