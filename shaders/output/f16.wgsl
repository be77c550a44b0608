// output: four neighbouring results, as f16 (no f16 arithmetic needed).

alias Output4 = vec2<u32>;

fn pack_output4(four: vec4<f32>) -> Output4 {
    // Values beyond f16 become its largest number; the conversion's result would be undefined.
    let held = clamp(four, vec4<f32>(-65504.0), vec4<f32>(65504.0));
    return vec2<u32>(pack2x16float(held.xy), pack2x16float(held.zw));
}
