// weight: four weights at a time, from blocks of 256 5-bit integers along K, else as q4_k.wgsl (Q5_K
// of GGUF).
//
// Between the scales and the lower four bits are 8 words of fifth bits in the order of the file:
// bit i of a byte belongs to the number 32 i later.

struct Weight4 {
    eight: u32, // lower bits
    fifth: u32, // fifth bits of four bytes, of eight numbers each
    factors: u32, // f16 of scales, of minima
    pairs: u32, // scale and minimum, twice
    col: u32,
}

@group(0) @binding(8) var<storage, read> weight_data: array<u32>; // [N/8, K/256, 1 + 4 + 8 + 32, 8]

var<private> weight_depth4: u32;

fn fetch_weight4(row: u32, col: u32) -> Weight4 {
    let block = ((row >> 3u) * (weight_depth4 >> 6u) + (col >> 6u)) * 360u + (row & 7u);
    let word = ((col >> 4u) & 3u) * 8u + (col & 7u);
    return Weight4(
        weight_data[block + 104u + word * 8u],
        weight_data[block + 40u + (col & 7u) * 8u],
        weight_data[block],
        weight_data[block + 8u + ((col >> 4u) & 3u) * 8u],
        col,
    );
}

fn unpack_weight4(fetched: Weight4) -> vec4<f32> {
    // Which 32 numbers of the block, and whether the first or the last of 64.
    let sub = (fetched.col >> 3u) & 7u;
    let part = sub & 1u;
    let bytes = vec4<u32>(0u, 8u, 16u, 24u);
    let lower = (vec4<u32>(fetched.eight) >> (bytes + vec4<u32>(part * 4u))) & vec4<u32>(15u);
    let fifth = (vec4<u32>(fetched.fifth) >> (bytes + vec4<u32>(sub))) & vec4<u32>(1u);
    let pair = fetched.pairs >> (part * 16u);
    let factors = unpack2x16float(fetched.factors);
    let scale = factors.x * f32(pair & 0xffu);
    let minimum = factors.y * f32((pair >> 8u) & 0xffu);
    return scale * vec4<f32>(lower + fifth * vec4<u32>(16u)) - vec4<f32>(minimum);
}

fn load_weight4(row: u32, col: u32) -> vec4<f32> {
    return unpack_weight4(fetch_weight4(row, col));
}
