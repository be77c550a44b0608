// affine: what follows a normalisation. This one: gain[col] value + shift[col].
//
//   affine(row, col4, value)   row and group of four columns, the normalised values
//   affine_cols4               groups of four a row, set by the kernel before the first call

@group(0) @binding(3) var<storage, read> affine_gain: array<vec4<f32>>; // [C/4]
@group(0) @binding(4) var<storage, read> affine_shift: array<vec4<f32>>; // [C/4]

var<private> affine_cols4: u32;

fn affine(row: u32, col4: u32, value: vec4<f32>) -> vec4<f32> {
    return value * affine_gain[col4] + affine_shift[col4];
}
