// epilogue: max(value, 0)

var<private> epilogue_cols: u32;

fn epilogue(row: u32, col: u32, value: f32) -> f32 {
    return max(value, 0.0);
}
