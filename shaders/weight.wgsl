// weight: four weights at a time, from f32.
//
// A matrix [N, K] lies as [N/8][K/4][8][4]: of eight neighbouring rows, which the invocations of a
// workgroup read together, groups of four stand side by side, and the whole of the eight rows is
// one piece of memory. (With all N rows side by side, the groups that a workgroup reads one after
// the other are N * 16 bytes apart: for N = 1536 all in the same cache set, each on a page of its
// own, and half as fast on a processor.)
//
//   load_weight4(row, col)   elements [row, 4 col .. 4 col + 3]
//   weight_depth4            K / 4, set by the kernel before the first load

@group(0) @binding(8) var<storage, read> weight_data: array<vec4<f32>>; // [N/8, K/4, 8]

var<private> weight_depth4: u32;

fn load_weight4(row: u32, col: u32) -> vec4<f32> {
    return weight_data[((row >> 3u) * weight_depth4 + col) * 8u + (row & 7u)];
}
