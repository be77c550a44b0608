// affine: gain[col] value, all there is to an RMS norm.

@group(0) @binding(3) var<storage, read> affine_gain: array<vec4<f32>>; // [C/4]

var<private> affine_cols4: u32;

fn affine(row: u32, col4: u32, value: vec4<f32>) -> vec4<f32> {
    return affine_gain[col4] * value;
}
