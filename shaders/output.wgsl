// output: four neighbouring results, as f32.
//
//   Output4             what a binding holds: `var<storage, read_write> y: array<Output4>`
//   pack_output4(four)  the four values as it holds them

alias Output4 = vec4<f32>;

fn pack_output4(four: vec4<f32>) -> Output4 {
    return four;
}
