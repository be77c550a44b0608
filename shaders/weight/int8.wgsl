// weight: four weights at a time, from int8 times a scale a row. Layout as in f8_e4m3.wgsl.

struct Weight4 {
    four: u32, // int8 times 4
    scale: f32,
}

@group(0) @binding(8) var<storage, read> weight_data: array<u32>; // [N/8, 1 + K/4, 8]

var<private> weight_depth4: u32;

fn fetch_weight4(row: u32, col: u32) -> Weight4 {
    let rows = (row >> 3u) * (weight_depth4 + 1u) * 8u + (row & 7u);
    return Weight4(
        weight_data[rows + 8u + col * 8u],
        bitcast<f32>(weight_data[rows]),
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
