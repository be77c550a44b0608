// weight: four weights at a time, from blocks of 256 6-bit integers along K, 16 of them with a scale
// of 8 bits, all with a factor (Q6_K of GGUF).
//
// Eight neighbouring rows are interleaved, as in weight.wgsl. Each block has its factor as f32, 4
// words of scales, 32 of the integers' lower four bits and 16 of their upper two, in the order of
// the file: of 128 numbers 64 bytes hold the first half and the second, and 32 bytes all four
// quarters' upper bits.

struct Weight4 {
    lower: u32, // 4 bits times 8
    upper: u32, // 2 bits times 16
    scales: u32, // int8 times 4
    factor: f32,
    col: u32,
}

@group(0) @binding(8) var<storage, read> weight_data: array<u32>; // [N/8, K/256, 1 + 4 + 32 + 16, 8]

var<private> weight_depth4: u32;

fn fetch_weight4(row: u32, col: u32) -> Weight4 {
    let block = ((row >> 3u) * (weight_depth4 >> 6u) + (col >> 6u)) * 424u + (row & 7u);
    let half = (col >> 5u) & 1u;
    return Weight4(
        weight_data[block + 40u + (half * 16u + (col & 15u)) * 8u],
        weight_data[block + 296u + (half * 8u + (col & 7u)) * 8u],
        weight_data[block + 8u + ((col >> 4u) & 3u) * 8u],
        bitcast<f32>(weight_data[block]),
        col,
    );
}

fn unpack_weight4(fetched: Weight4) -> vec4<f32> {
    let bytes = vec4<u32>(0u, 8u, 16u, 24u);
    // Which half of 128 numbers, and which quarter.
    let half = (fetched.col >> 4u) & 1u;
    let quarter = (fetched.col >> 3u) & 3u;
    let lower = (vec4<u32>(fetched.lower) >> (bytes + vec4<u32>(half * 4u))) & vec4<u32>(15u);
    let upper = (vec4<u32>(fetched.upper) >> (bytes + vec4<u32>(quarter * 2u))) & vec4<u32>(3u);
    // To the top of a word, and down again with its sign.
    let top = fetched.scales << (24u - ((fetched.col >> 2u) & 3u) * 8u);
    let scale = fetched.factor * f32(bitcast<i32>(top) >> 24u);
    return scale * (vec4<f32>(lower + upper * vec4<u32>(16u)) - vec4<f32>(32.0));
}

fn load_weight4(row: u32, col: u32) -> vec4<f32> {
    return unpack_weight4(fetch_weight4(row, col));
}
