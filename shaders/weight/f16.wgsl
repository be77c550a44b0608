// weight: four weights at a time, from f16 (no f16 arithmetic needed). Layout as in weight.wgsl.

alias Weight4 = vec2<u32>;

@group(0) @binding(8) var<storage, read> weight_data: array<Weight4>; // [N/8, K/4, 8]

var<private> weight_depth4: u32;

fn fetch_weight4(row: u32, col: u32) -> Weight4 {
    return weight_data[((row >> 3u) * weight_depth4 + col) * 8u + (row & 7u)];
}

fn unpack_weight4(fetched: Weight4) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(fetched.x), unpack2x16float(fetched.y));
}

fn load_weight4(row: u32, col: u32) -> vec4<f32> {
    return unpack_weight4(fetch_weight4(row, col));
}
