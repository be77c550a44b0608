// silu(x) = x / (1 + exp(-x))

fn silu(x: f32) -> f32 {
    // exp overflows to infinity at most, and x / infinity is the 0 that is wanted; a clamp keeps
    // drivers that assume no infinities honest.
    return x / (1.0 + exp(clamp(-x, -80.0, 80.0)));
}
