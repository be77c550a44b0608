// weight: four weights at a time, from f32.
//
// A matrix [N, K] lies as [N/8][K/4][8][4]: of eight neighbouring rows, which the invocations of a
// workgroup read together, groups of four stand side by side, and the whole of the eight rows is
// one piece of memory. (With all N rows side by side, the groups that a workgroup reads one after
// the other are N * 16 bytes apart: for N = 1536 all in the same cache set, each on a page of its
// own, and half as fast on a processor.)
//
//   load_weight4(row, col)      elements [row, 4 col .. 4 col + 3]
//   fetch_weight4(row, col)     those as they lie, a Weight4: kernels that load long before they
//   unpack_weight4(fetched)     use unpack only then, so that nothing waits for the load
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
