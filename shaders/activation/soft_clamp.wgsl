// activation: 3 tanh(x / 3), which keeps small values and bounds large ones by 3

fn activate(x: f32) -> f32 {
    return 3.0 * tanh(clamp(x / 3.0, -15.0, 15.0));
}
