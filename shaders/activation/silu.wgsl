// activation: silu

import package::common::silu::{silu};

fn activate(x: f32) -> f32 {
    return silu(x);
}
