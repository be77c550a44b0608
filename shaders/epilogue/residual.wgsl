// epilogue: residual[row, col] + value

@group(0) @binding(13) var<storage, read> residual: array<f32>; // [M, N]

var<private> epilogue_cols: u32;

fn epilogue(row: u32, col: u32, value: f32) -> f32 {
    return residual[row * epilogue_cols + col] + value;
}
