// epilogue: gelu_erf(value + bias[col])

import package::common::gelu_erf::{gelu_erf};

@group(0) @binding(12) var<storage, read> bias: array<f32>; // [N]

var<private> epilogue_cols: u32;

fn epilogue(row: u32, col: u32, value: f32) -> f32 {
    return gelu_erf(value + bias[col]);
}
