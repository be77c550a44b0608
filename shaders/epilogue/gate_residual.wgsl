// epilogue: residual[row, col] + gate[gate_index[row], col] * (value + bias[col])

@group(0) @binding(12) var<storage, read> bias: array<f32>; // [N]
@group(0) @binding(13) var<storage, read> residual: array<f32>; // [M, N]
@group(0) @binding(14) var<storage, read> gate: array<f32>; // [D, N]
@group(0) @binding(15) var<storage, read> gate_index: array<u32>; // [M]

var<private> epilogue_cols: u32;

fn epilogue(row: u32, col: u32, value: f32) -> f32 {
    let g = gate[gate_index[row] * epilogue_cols + col];
    return residual[row * epilogue_cols + col] + g * (value + bias[col]);
}
