// weight: four weights at a time, from blocks of 32 4-bit floats along K, 16 of them with a scale, all
// of a row with another (NVFP4).
//
// Eight neighbouring rows are interleaved, as in weight.wgsl. The rows' eight scales come first, as f32.
// Each block has a word with half of its two scales as f16, then four words of numbers with the first
// number in a byte's upper half. Twice a number of 2 bits of exponent and one of fraction is
// an integer: 0, 1, 2, 3, 4, 6, 8, 12.

struct Weight4 {
    eight: u32, // 4-bit floats
    scales: u32, // f16 of 16 numbers each
    scale: f32,
    col: u32,
}

@group(0) @binding(8) var<storage, read> weight_data: array<u32>; // [N/8, 8 + K/32 * 5 * 8]

var<private> weight_depth4: u32;

fn fetch_weight4(row: u32, col: u32) -> Weight4 {
    let blocks = weight_depth4 >> 3u;
    let rows = (row >> 3u) * (blocks * 40u + 8u) + (row & 7u);
    let block = rows + 8u + (col >> 3u) * 40u;
    return Weight4(
        weight_data[block + 8u + ((col >> 1u) & 3u) * 8u],
        weight_data[block],
        bitcast<f32>(weight_data[rows]),
        col,
    );
}

fn unpack_weight4(fetched: Weight4) -> vec4<f32> {
    let shift = vec4<u32>(4u, 0u, 12u, 8u) + vec4<u32>((fetched.col & 1u) * 16u);
    let codes = vec4<u32>(fetched.eight) >> shift;
    let sizes = codes & vec4<u32>(7u);
    // Below 2 there is no leading one.
    let exponents = max(sizes >> vec4<u32>(1u), vec4<u32>(1u)) - vec4<u32>(1u);
    let large = ((sizes & vec4<u32>(1u)) | vec4<u32>(2u)) << exponents;
    let twice = vec4<f32>(select(large, sizes, sizes < vec4<u32>(2u)));
    let signed = select(twice, -twice, (codes & vec4<u32>(8u)) != vec4<u32>(0u));
    let halves = unpack2x16float(fetched.scales);
    let half = select(halves.x, halves.y, (fetched.col & 4u) != 0u);
    return (fetched.scale * half) * signed;
}

fn load_weight4(row: u32, col: u32) -> vec4<f32> {
    return unpack_weight4(fetch_weight4(row, col));
}
