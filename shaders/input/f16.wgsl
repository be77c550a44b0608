// input: four neighbouring activations, from f16 (no f16 arithmetic needed).

alias Input4 = vec2<u32>;

fn unpack_input4(packed: Input4) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(packed.x), unpack2x16float(packed.y));
}
