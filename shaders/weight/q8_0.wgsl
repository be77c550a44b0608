// weight: four weights at a time, from blocks of 32 int8 and a scale along K (Q8_0 of GGUF).
//
// Eight neighbouring rows are interleaved, as in weight.wgsl. For each block come first the rows' eight
// scales, as f32, then their integers, four to a word. All of it is one binding, and a window of
// whole groups of rows is one piece of memory.

struct Weight4 {
    four: u32, // int8 times 4
    scale: f32,
}

@group(0) @binding(8) var<storage, read> weight_data: array<u32>; // [N/8, K/32, 1 + 8, 8]

var<private> weight_depth4: u32;

fn fetch_weight4(row: u32, col: u32) -> Weight4 {
    let block = ((row >> 3u) * (weight_depth4 >> 3u) + (col >> 3u)) * 72u + (row & 7u);
    return Weight4(
        weight_data[block + 8u + (col & 7u) * 8u],
        bitcast<f32>(weight_data[block]),
    );
}

fn unpack_weight4(fetched: Weight4) -> vec4<f32> {
    // Each byte to the top of a word, and down again with its sign.
    let top = vec4<u32>(fetched.four) << vec4<u32>(24u, 16u, 8u, 0u);
    return fetched.scale * vec4<f32>(bitcast<vec4<i32>>(top) >> vec4<u32>(24u));
}

fn load_weight4(row: u32, col: u32) -> vec4<f32> {
    return unpack_weight4(fetch_weight4(row, col));
}
