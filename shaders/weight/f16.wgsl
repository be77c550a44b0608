// weight: four weights at a time, from f16 (no f16 arithmetic needed). Layout as in weight.wgsl.

@group(0) @binding(8) var<storage, read> weight_data: array<vec2<u32>>; // [K/4, N]

var<private> weight_rows: u32;

fn load_weight4(row: u32, col: u32) -> vec4<f32> {
    let packed = weight_data[col * weight_rows + row];
    return vec4<f32>(unpack2x16float(packed.x), unpack2x16float(packed.y));
}
