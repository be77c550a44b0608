// weight: four weights at a time, from 8-bit floats of 4 bits of exponent and 3 of fraction
// (float8_e4m3fn), times a scale a row.
//
// Eight neighbouring rows are interleaved, as in weight.wgsl, four elements to a word, after their eight
// scales as f32. A row that contains NaN has NaN as its scale.

struct Weight4 {
    four: u32, // e4m3 times 4
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
    let bytes = (vec4<u32>(fetched.four) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(0xffu);
    let sizes = bytes & vec4<u32>(0x7fu);
    // The fraction and exponent of an f32, whose bias is 120 larger. Devices may take an f32's
    // subnormal numbers for zeros, so that those of e4m3, up to 7 / 512, are computed.
    let normal = bitcast<vec4<f32>>((sizes << vec4<u32>(20u)) + vec4<u32>(120u << 23u));
    let small = vec4<f32>(sizes) * (1.0 / 512.0);
    let signs = (bytes & vec4<u32>(0x80u)) << vec4<u32>(24u);
    let size = bitcast<vec4<u32>>(select(normal, small, sizes < vec4<u32>(8u)));
    return fetched.scale * bitcast<vec4<f32>>(size | signs);
}

fn load_weight4(row: u32, col: u32) -> vec4<f32> {
    return unpack_weight4(fetch_weight4(row, col));
}
