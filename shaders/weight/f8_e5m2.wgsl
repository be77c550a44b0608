// weight: four weights at a time, from 8-bit floats of 5 bits of exponent and 2 of fraction
// (float8_e5m2), times a scale a row. They are the upper halves of f16. Layout as in f8_e4m3.wgsl; a
// row with an infinity or NaN has NaN as its scale.

struct Weight4 {
    four: u32, // e5m2 times 4
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
    let four = fetched.four;
    let first = ((four & 0xffu) << 8u) | ((four & 0xff00u) << 16u);
    let last = ((four >> 8u) & 0xff00u) | (four & 0xff000000u);
    return fetched.scale * vec4<f32>(unpack2x16float(first), unpack2x16float(last));
}

fn load_weight4(row: u32, col: u32) -> vec4<f32> {
    return unpack_weight4(fetch_weight4(row, col));
}
