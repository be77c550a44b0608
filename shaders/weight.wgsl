// weight: four weights at a time, from f32.
//
// A matrix [N, K] lies as [K/4][N][4]: neighbouring rows are neighbouring groups of four, so the
// invocations of a workgroup, one a row, read one contiguous piece.
//
//   load_weight4(row, col)   elements [row, 4 col .. 4 col + 3]
//   weight_rows              N, set by the kernel before the first load

@group(0) @binding(8) var<storage, read> weight_data: array<vec4<f32>>; // [K/4, N]

var<private> weight_rows: u32;

fn load_weight4(row: u32, col: u32) -> vec4<f32> {
    return weight_data[col * weight_rows + row];
}
