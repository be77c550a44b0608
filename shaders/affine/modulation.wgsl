// affine: (1 + scale[index[row], col]) value + shift[index[row], col], the adaptive layer norm of
// diffusion transformers; a row of the tables for each distinct timestep.

@group(0) @binding(3) var<storage, read> affine_scale: array<vec4<f32>>; // [D, C/4]
@group(0) @binding(4) var<storage, read> affine_shift: array<vec4<f32>>; // [D, C/4]
@group(0) @binding(5) var<storage, read> affine_index: array<u32>; // [M]

var<private> affine_cols4: u32;

fn affine(row: u32, col4: u32, value: vec4<f32>) -> vec4<f32> {
    let at = affine_index[row] * affine_cols4 + col4;
    return value * (1.0 + affine_scale[at]) + affine_shift[at];
}
