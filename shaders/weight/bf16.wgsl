// weight: four weights at a time, from bfloat16, exactly: a bfloat16 is the upper half of an f32.
// Layout as in weight.wgsl.

@group(0) @binding(8) var<storage, read> weight_data: array<vec2<u32>>; // [N/8, K/4, 8]

var<private> weight_depth4: u32;

fn load_weight4(row: u32, col: u32) -> vec4<f32> {
    let packed = weight_data[((row >> 3u) * weight_depth4 + col) * 8u + (row & 7u)];
    return bitcast<vec4<f32>>(vec4<u32>(
        packed.x << 16u, packed.x & 0xffff0000u, packed.y << 16u, packed.y & 0xffff0000u,
    ));
}
