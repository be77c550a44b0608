// epilogue: v sigmoid(1.702 v), v being value + bias[col]

@group(0) @binding(12) var<storage, read> bias: array<f32>; // [N]

var<private> epilogue_cols: u32;

fn epilogue(row: u32, col: u32, value: f32) -> f32 {
    let v = value + bias[col];
    // As in silu, a clamp keeps exp from infinity.
    return v / (1.0 + exp(clamp(-1.702 * v, -80.0, 80.0)));
}
