// weight: four weights at a time, from f16 (no f16 arithmetic needed). Layout as in weight.wgsl.

@group(0) @binding(8) var<storage, read> weight_data: array<vec2<u32>>; // [N/8, K/4, 8]

var<private> weight_depth4: u32;

fn load_weight4(row: u32, col: u32) -> vec4<f32> {
    let packed = weight_data[((row >> 3u) * weight_depth4 + col) * 8u + (row & 7u)];
    return vec4<f32>(unpack2x16float(packed.x), unpack2x16float(packed.y));
}
