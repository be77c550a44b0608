//! Closeness: normalised mean squared error, relative L2 distance, largest difference.

use libtest_mimic::Failed;

/// The tolerance of a kernel, whose f32 sums differ in order from those of the f64 twin.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// Mean squared error over the mean square of the expected values.
    pub nmse: f64,
    /// Largest difference over the largest expected value.
    pub max: f64,
}

/// Sums of products in f32 (weights are rounded before both sides see them).
pub const SUMS: Tolerance = Tolerance {
    nmse: 1e-11,
    max: 2e-5,
};
/// Results stored as f16: 11 bits.
pub const HALVES: Tolerance = Tolerance {
    nmse: 1e-6,
    max: 1e-3,
};
/// Elementwise arithmetic with exp, tanh or a square root in it.
pub const ELEMENTWISE: Tolerance = Tolerance {
    nmse: 1e-11,
    max: 1e-5,
};

/// `|a - b| / |b|`
pub fn relative_l2(found: &[f32], expected: &[f32]) -> f64 {
    let squares = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).powi(2);
    let error: f64 = found.iter().zip(expected).map(squares).sum();
    let norm: f64 = expected.iter().map(|&b| f64::from(b).powi(2)).sum();
    if error == 0.0 {
        0.0
    } else {
        (error / norm.max(f64::MIN_POSITIVE)).sqrt()
    }
}

/// Peak signal-to-noise ratio of 8-bit pictures, in dB.
pub fn psnr(found: &[u8], expected: &[u8]) -> f64 {
    let squares = |(a, b): (&u8, &u8)| (f64::from(*a) - f64::from(*b)).powi(2);
    let error: f64 =
        found.iter().zip(expected).map(squares).sum::<f64>() / found.len().max(1) as f64;
    if error == 0.0 {
        f64::INFINITY
    } else {
        10.0 * (255.0f64.powi(2) / error).log10()
    }
}

/// Compares with an f64 twin's result.
pub fn close(
    what: &str,
    found: &[f32],
    expected: &[f64],
    tolerance: Tolerance,
) -> Result<(), Failed> {
    if found.len() != expected.len() {
        return Err(format!(
            "{what}: {} values, expected {}",
            found.len(),
            expected.len()
        )
        .into());
    }
    let difference = |(a, b): (&f32, &f64)| (f64::from(*a) - b).abs();
    let pairs = || found.iter().zip(expected);
    if let Some(at) = found.iter().position(|v| !v.is_finite()) {
        return Err(format!("{what}: {} at {at}, expected {}", found[at], expected[at]).into());
    }
    let count = expected.len().max(1) as f64;
    let error = pairs().map(|p| difference(p).powi(2)).sum::<f64>() / count;
    let power = expected.iter().map(|b| b.powi(2)).sum::<f64>() / count;
    let largest = expected.iter().fold(0.0, |m: f64, b| m.max(b.abs()));
    let (at, worst) =
        pairs().map(difference).enumerate().fold(
            (0, 0.0),
            |best, (i, d)| if d > best.1 { (i, d) } else { best },
        );
    let nmse = if error == 0.0 {
        0.0
    } else {
        error / power.max(f64::MIN_POSITIVE)
    };
    if nmse <= tolerance.nmse && worst <= tolerance.max * largest.max(1e-30) {
        return Ok(());
    }
    Err(format!(
        "{what}: NMSE {nmse:.2e} (at most {:.0e}); worst at {at}: {} for {}, off by {:.2e} of the largest (at most {:.0e})",
        tolerance.nmse,
        found[at],
        expected[at],
        worst / largest.max(1e-30),
        tolerance.max,
    )
    .into())
}
