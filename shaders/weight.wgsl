// weight: four weights at a time, from f32.
//
// A matrix [N, K] has the layout [N/8][K/4][8][4]: the invocations of a workgroup read eight
// neighbouring rows together, so groups of four from these rows are adjacent, and the eight rows are
// contiguous. (With all N rows interleaved, the groups that a workgroup reads in sequence would be
// N * 16 bytes apart: for N = 1536 all in the same cache set, each on a separate page, and half as fast
// on a processor.)
//
//   load_weight4(row, col)      elements [row, 4 col .. 4 col + 3]
//   fetch_weight4(row, col)     the same, packed as a Weight4; kernels that load early call
//   unpack_weight4(fetched)     only on use, so that nothing waits for the load
//   weight_depth4               K / 4, set by the kernel before the first load

alias Weight4 = vec4<f32>;

@group(0) @binding(8) var<storage, read> weight_data: array<Weight4>; // [N/8, K/4, 8]

var<private> weight_depth4: u32;

fn fetch_weight4(row: u32, col: u32) -> Weight4 {
    return weight_data[((row >> 3u) * weight_depth4 + col) * 8u + (row & 7u)];
}

fn unpack_weight4(fetched: Weight4) -> vec4<f32> {
    return fetched;
}

fn load_weight4(row: u32, col: u32) -> vec4<f32> {
    return unpack_weight4(fetch_weight4(row, col));
}
