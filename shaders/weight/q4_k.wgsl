// weight: four weights at a time, from blocks of 256 4-bit integers along K, 32 of them with a scale
// and a minimum of 6 bits, all with an f16 factor for each of the two (Q4_K of GGUF).
//
// Eight neighbouring rows are interleaved, as in weight.wgsl. Each block has a word of the two
// factors, four words of scales and minima (a byte each, two pairs to a word), and 32 words of
// integers in the order of the file: the lower halves of 32 bytes, then their upper halves.

struct Weight4 {
    eight: u32, // 4-bit integers
    factors: u32, // f16 of scales, of minima
    pairs: u32, // scale and minimum, twice
    col: u32,
}

@group(0) @binding(8) var<storage, read> weight_data: array<u32>; // [N/8, K/256, 1 + 4 + 32, 8]

var<private> weight_depth4: u32;

fn fetch_weight4(row: u32, col: u32) -> Weight4 {
    let block = ((row >> 3u) * (weight_depth4 >> 6u) + (col >> 6u)) * 296u + (row & 7u);
    let word = ((col >> 4u) & 3u) * 8u + (col & 7u);
    return Weight4(
        weight_data[block + 40u + word * 8u],
        weight_data[block],
        weight_data[block + 8u + ((col >> 4u) & 3u) * 8u],
        col,
    );
}

fn unpack_weight4(fetched: Weight4) -> vec4<f32> {
    // Of 64 numbers the first or the last 32.
    let part = (fetched.col >> 3u) & 1u;
    let shift = vec4<u32>(0u, 8u, 16u, 24u) + vec4<u32>(part * 4u);
    let integers = (vec4<u32>(fetched.eight) >> shift) & vec4<u32>(15u);
    let pair = fetched.pairs >> (part * 16u);
    let factors = unpack2x16float(fetched.factors);
    let scale = factors.x * f32(pair & 0xffu);
    let minimum = factors.y * f32((pair >> 8u) & 0xffu);
    return scale * vec4<f32>(integers) - vec4<f32>(minimum);
}

fn load_weight4(row: u32, col: u32) -> vec4<f32> {
    return unpack_weight4(fetch_weight4(row, col));
}
