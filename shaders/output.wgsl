// output: four neighbouring results, as f32.
//
//   Output4             the element of a binding: `var<storage, read_write> y: array<Output4>`
//   pack_output4(four)  the four values as such an element

alias Output4 = vec4<f32>;

fn pack_output4(four: vec4<f32>) -> Output4 {
    return four;
}
