// gelu_tanh(x) = x / 2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))

fn gelu_tanh(x: f32) -> f32 {
    // WGSL's tanh may be NaN beyond about 88, and the cube gets there soon; tanh(15) is 1 in f32.
    let inner = clamp(0.7978845608 * (x + 0.044715 * x * x * x), -15.0, 15.0);
    return 0.5 * x * (1.0 + tanh(inner));
}
