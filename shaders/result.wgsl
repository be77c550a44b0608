// result: how a product stores its results. This one: four neighbouring columns at a time, as f32 or
// f16, where the columns of y (of a fold, in a convolution) are a multiple of 4.
//
//   store_result4(row, col, values)   the results [row, col ..], col a multiple of 4 within y

import package::output::{Output4, pack_output4};
import package::rows::{result_at};

@group(0) @binding(2) var<storage, read_write> y: array<Output4>; // [M, out_cols/4]

fn store_result4(row: u32, col: u32, values: vec4<f32>) {
    y[result_at(row, col) / 4u] = pack_output4(values);
}
