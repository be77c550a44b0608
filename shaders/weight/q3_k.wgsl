// weight: four weights at a time, from blocks of 256 3-bit integers along K, 16 of them with a scale
// of 6 bits, all with a factor (Q3_K of GGUF).
//
// Eight neighbouring rows are interleaved, as in weight.wgsl. Each block has its factor as f32, 4
// words of scales, a signed byte each, 8 words of third bits and 16 of the lower two, in the order of
// the file: bit i of a third-bit byte belongs to the number 32 i later, and of 128 numbers 32 bytes
// hold all four quarters.

struct Weight4 {
    sixteen: u32, // lower bits
    third: u32, // third bits of four bytes, of eight numbers each
    scales: u32, // int8 times 4
    factor: f32,
    col: u32,
}

@group(0) @binding(8) var<storage, read> weight_data: array<u32>; // [N/8, K/256, 1 + 4 + 8 + 16, 8]

var<private> weight_depth4: u32;

fn fetch_weight4(row: u32, col: u32) -> Weight4 {
    let block = ((row >> 3u) * (weight_depth4 >> 6u) + (col >> 6u)) * 232u + (row & 7u);
    let word = ((col >> 5u) & 1u) * 8u + (col & 7u);
    return Weight4(
        weight_data[block + 104u + word * 8u],
        weight_data[block + 40u + (col & 7u) * 8u],
        weight_data[block + 8u + ((col >> 4u) & 3u) * 8u],
        bitcast<f32>(weight_data[block]),
        col,
    );
}

fn unpack_weight4(fetched: Weight4) -> vec4<f32> {
    let bytes = vec4<u32>(0u, 8u, 16u, 24u);
    // Which 32 numbers of the block.
    let sub = (fetched.col >> 3u) & 7u;
    let lower = (vec4<u32>(fetched.sixteen) >> (bytes + vec4<u32>((sub & 3u) * 2u))) & vec4<u32>(3u);
    let third = (vec4<u32>(fetched.third) >> (bytes + vec4<u32>(sub))) & vec4<u32>(1u);
    // To the top of a word, and down again with its sign.
    let top = fetched.scales << (24u - ((fetched.col >> 2u) & 3u) * 8u);
    let scale = fetched.factor * f32(bitcast<i32>(top) >> 24u);
    return scale * (vec4<f32>(lower + third * vec4<u32>(4u)) - vec4<f32>(4.0));
}

fn load_weight4(row: u32, col: u32) -> vec4<f32> {
    return unpack_weight4(fetch_weight4(row, col));
}
