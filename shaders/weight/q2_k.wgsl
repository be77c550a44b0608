// weight: four weights at a time, from blocks of 256 2-bit integers along K, 16 of them with a scale
// and a minimum of 4 bits, all with an f16 factor for each of the two (Q2_K of GGUF).
//
// Eight neighbouring rows are interleaved, as in weight.wgsl. Each block has a word of the two
// factors, four words of scales and minima (a byte for both), 16 words of integers in the order of
// the file: of 128 numbers 32 bytes hold all four quarters.

struct Weight4 {
    sixteen: u32, // 2-bit integers
    factors: u32, // f16 of scales, of minima
    pairs: u32, // scale and minimum, four times
    col: u32,
}

@group(0) @binding(8) var<storage, read> weight_data: array<u32>; // [N/8, K/256, 1 + 4 + 16, 8]

var<private> weight_depth4: u32;

fn fetch_weight4(row: u32, col: u32) -> Weight4 {
    let block = ((row >> 3u) * (weight_depth4 >> 6u) + (col >> 6u)) * 168u + (row & 7u);
    let word = ((col >> 5u) & 1u) * 8u + (col & 7u);
    return Weight4(
        weight_data[block + 40u + word * 8u],
        weight_data[block],
        weight_data[block + 8u + ((col >> 4u) & 3u) * 8u],
        col,
    );
}

fn unpack_weight4(fetched: Weight4) -> vec4<f32> {
    let quarter = (fetched.col >> 3u) & 3u;
    let shift = vec4<u32>(0u, 8u, 16u, 24u) + vec4<u32>(quarter * 2u);
    let integers = (vec4<u32>(fetched.sixteen) >> shift) & vec4<u32>(3u);
    let pair = fetched.pairs >> (((fetched.col >> 2u) & 3u) * 8u);
    let factors = unpack2x16float(fetched.factors);
    let scale = factors.x * f32(pair & 15u);
    let minimum = factors.y * f32((pair >> 4u) & 15u);
    return scale * vec4<f32>(integers) - vec4<f32>(minimum);
}

fn load_weight4(row: u32, col: u32) -> vec4<f32> {
    return unpack_weight4(fetch_weight4(row, col));
}
