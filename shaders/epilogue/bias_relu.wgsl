// epilogue: max(value + bias[col], 0)

@group(0) @binding(12) var<storage, read> bias: array<f32>; // [N]

var<private> epilogue_cols: u32;

fn epilogue(row: u32, col: u32, value: f32) -> f32 {
    return max(value + bias[col], 0.0);
}
