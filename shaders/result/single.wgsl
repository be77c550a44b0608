// result: one column at a time, as f32, for any number of columns.

import package::common::product::{params};
import package::rows::{result_at};

@group(0) @binding(2) var<storage, read_write> y: array<f32>; // [M, out_cols]

fn store_result(row: u32, col: u32, value: f32) {
    if col < params.col_end {
        y[result_at(row, col)] = value;
    }
}

fn store_result4(row: u32, col: u32, values: vec4<f32>) {
    store_result(row, col, values.x);
    store_result(row, col + 1u, values.y);
    store_result(row, col + 2u, values.z);
    store_result(row, col + 3u, values.w);
}
