// epilogue: gelu_tanh(residual[row, col] + value)

import package::common::gelu::{gelu_tanh};

@group(0) @binding(13) var<storage, read> residual: array<f32>; // [M, N]

var<private> epilogue_cols: u32;

fn epilogue(row: u32, col: u32, value: f32) -> f32 {
    return gelu_tanh(residual[row * epilogue_cols + col] + value);
}
