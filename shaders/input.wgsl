// input: four neighbouring activations, from f32.
//
//   Input4                 the element of a binding: `var<storage, read> x: array<Input4>`
//   unpack_input4(packed)  the four values

alias Input4 = vec4<f32>;

fn unpack_input4(packed: Input4) -> vec4<f32> {
    return packed;
}
