//! Scales that leave the least squared error: what formats of few bits are written with.
//!
//! A scale decides which code each number is nearest to, and the codes decide which scale is best for
//! them (least squares). So some scales around the one that spans the range are tried, each is
//! replaced by the best for its codes, and the one with the least error is taken.

/// The scale s for which numbers are nearest to s times their codes; `nearest` gives a number's code
/// for the inverse of a scale. `extent` is the code that the largest number gets at first, and the
/// scales tried are those that give it `extent` + 1/10 of each of `around`.
pub(super) fn scale(
    values: &[f32],
    extent: f32,
    around: std::ops::RangeInclusive<i32>,
    nearest: impl Fn(f32) -> f32,
) -> f32 {
    let larger = |most: f32, &v: &f32| if v.abs() > most.abs() { v } else { most };
    let largest = values.iter().fold(0.0, larger);
    if largest == 0.0 {
        return 0.0;
    }
    let mut best = (0.0, largest / extent);
    for step in around {
        let inverse = (extent + 0.1 * step as f32) / largest;
        let (mut products, mut squares) = (0.0, 0.0);
        for &value in values {
            let code = nearest(value * inverse);
            products += value * code;
            squares += code * code;
        }
        // The error is that of zeros less this.
        let gain = products * products / squares;
        if squares > 0.0 && gain > best.0 {
            best = (gain, products / squares);
        }
    }
    best.1
}

/// Scale and minimum (at least 0) for which numbers are nearest to scale times an integer up to
/// `most`, less the minimum.
pub(super) fn scale_and_minimum(values: &[f32], most: f32) -> (f32, f32) {
    let low = values.iter().copied().fold(0.0, f32::min);
    let high = values
        .iter()
        .copied()
        .fold(f32::NEG_INFINITY, f32::max)
        .max(low);
    if high == low {
        return (0.0, -low);
    }
    let error = |scale: f32, low: f32| {
        let errors = values.iter().map(|&value| {
            let code = ((value - low) / scale).round_ties_even().clamp(0.0, most);
            (scale * code + low - value).abs()
        });
        errors.sum::<f32>()
    };
    let mut best = (error((high - low) / most, low), (high - low) / most, low);
    for step in 0..=15 {
        let inverse = (most - 0.5 + 0.1 * step as f32) / (high - low);
        let count = values.len() as f32;
        let [mut codes, mut squares, mut sum, mut products] = [0.0f32; 4];
        for &value in values {
            let code = ((value - low) * inverse).round_ties_even().clamp(0.0, most);
            codes += code;
            squares += code * code;
            sum += value;
            products += value * code;
        }
        let determinant = count * squares - codes * codes;
        if determinant <= 0.0 {
            continue;
        }
        let mut scale = (count * products - codes * sum) / determinant;
        let mut minimum = (squares * sum - codes * products) / determinant;
        if minimum > 0.0 {
            (scale, minimum) = (products / squares, 0.0);
        }
        if scale > 0.0 {
            let error = error(scale, minimum);
            if error < best.0 {
                best = (error, scale, minimum);
            }
        }
    }
    (best.1, -best.2)
}
