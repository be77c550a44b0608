//! Sizes and counts as people read them.

/// Bytes for people.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let unit = UNITS.get(unit).copied().unwrap_or_default();
    if value.fract() < 0.05 {
        format!("{value:.0} {unit}")
    } else {
        format!("{value:.1} {unit}")
    }
}

/// Numbers for people.
pub(crate) fn count(number: u64) -> String {
    match number as f64 {
        n if n >= 1e9 => format!("{:.1} billion", n / 1e9),
        n if n >= 1e6 => format!("{:.1} million", n / 1e6),
        n if n >= 1e4 => format!("{:.0} thousand", n / 1e3),
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_numbers_read_well() {
        assert_eq!(
            [size(128 << 20), size(32 << 10), size(1_500_000_000)],
            ["128 MiB", "32 KiB", "1.4 GiB"]
        );
        assert_eq!(
            [count(1_418_996_800), count(85_400_000), count(300)],
            ["1.4 billion", "85.4 million", "300"]
        );
    }
}
