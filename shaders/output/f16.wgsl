// output: four neighbouring results, as f16 (no f16 arithmetic needed).

alias Output4 = vec2<u32>;

fn pack_output4(four: vec4<f32>) -> Output4 {
    // What is beyond f16 would become an infinity or anything else: the largest number it holds.
    let held = clamp(four, vec4<f32>(-65504.0), vec4<f32>(65504.0));
    return vec2<u32>(pack2x16float(held.xy), pack2x16float(held.zw));
}
