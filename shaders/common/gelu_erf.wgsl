// gelu_erf(x) = x / 2 (1 + erf(x / sqrt(2))), the GELU without an approximation

// erf as z P(z²) / Q(z²), fitted to the least largest error, 1.5e-9, where |z| is at most 4; beyond, it
// is 1 in f32.
fn erf(x: f32) -> f32 {
    let z = clamp(x, -4.0, 4.0);
    let u = z * z;
    var p = -1.366681136e-8;
    p = p * u + 4.780544891e-6;
    p = p * u + 3.826924245e-4;
    p = p * u + 3.839529506e-3;
    p = p * u + 5.433260076e-2;
    p = p * u + 1.847103488e-1;
    p = p * u + 1.128379182;
    var q = 6.400932010e-5;
    q = q * u + 1.309579353e-3;
    q = q * u + 1.545351757e-2;
    q = q * u + 1.138263121e-1;
    q = q * u + 4.970288300e-1;
    q = q * u + 1.0;
    return z * p / q;
}

fn gelu_erf(x: f32) -> f32 {
    return 0.5 * x * (1.0 + erf(0.7071067812 * x));
}
