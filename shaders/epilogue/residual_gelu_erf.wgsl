// epilogue: gelu_erf(residual[row, col] + value)

import package::common::gelu_erf::{gelu_erf};

@group(0) @binding(13) var<storage, read> residual: array<f32>; // [M, N]

var<private> epilogue_cols: u32;

fn epilogue(row: u32, col: u32, value: f32) -> f32 {
    return gelu_erf(residual[row * epilogue_cols + col] + value);
}
