// epilogue: silu(residual[row, col] + value)

import package::common::silu::{silu};

@group(0) @binding(13) var<storage, read> residual: array<f32>; // [M, N]

var<private> epilogue_cols: u32;

fn epilogue(row: u32, col: u32, value: f32) -> f32 {
    return silu(residual[row * epilogue_cols + col] + value);
}
