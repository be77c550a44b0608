// weight: four weights at a time, from blocks of 32 4-bit integers and a scale along K (Q4_0 of
// GGUF).
//
// Eight neighbouring rows are interleaved, as in weight.wgsl. For each block come first the rows' eight
// scales, as f16, two to a word, then their integers, eight to a word, in the order of the file:
// the lower halves of four bytes are neighbours, the upper halves are the four numbers 16 later.

struct Weight4 {
    eight: u32, // 4-bit integers
    scales: u32, // f16 of two rows
    row: u32,
    col: u32,
}

@group(0) @binding(8) var<storage, read> weight_data: array<u32>; // [N/8, K/32, 4 + 4 * 8]

var<private> weight_depth4: u32;

fn fetch_weight4(row: u32, col: u32) -> Weight4 {
    let block = ((row >> 3u) * (weight_depth4 >> 3u) + (col >> 3u)) * 36u;
    return Weight4(
        weight_data[block + 4u + (col & 3u) * 8u + (row & 7u)],
        weight_data[block + ((row & 7u) >> 1u)],
        row,
        col,
    );
}

fn unpack_weight4(fetched: Weight4) -> vec4<f32> {
    let shift = vec4<u32>(0u, 8u, 16u, 24u) + vec4<u32>((fetched.col & 4u));
    let integers = (vec4<u32>(fetched.eight) >> shift) & vec4<u32>(15u);
    let scale = unpack2x16float(fetched.scales >> ((fetched.row & 1u) * 16u)).x;
    return scale * (vec4<f32>(integers) - vec4<f32>(8.0));
}

fn load_weight4(row: u32, col: u32) -> vec4<f32> {
    return unpack_weight4(fetch_weight4(row, col));
}
