//! The number of text rows that each key represents.

use std::cmp::Ordering;

/// The logarithm of the number of the text's `length` rows that each of `rows` represents: each of a
/// prompt's `own` rows represents itself, the next one all of the padding, and the rest none.
pub(super) fn counts(own: usize, rows: usize, length: usize) -> Vec<f32> {
    let count = |row: usize| match row.cmp(&own) {
        Ordering::Less => 1,
        Ordering::Equal => length - own,
        Ordering::Greater => 0,
    };
    let log = |count: usize| match count {
        // Below every score, and finite: shaders may assume that infinities do not occur.
        0 => -1e30,
        n => (n as f64).ln() as f32,
    };
    (0..rows).map(|row| log(count(row))).collect()
}

#[cfg(test)]
mod tests {
    use super::counts;

    #[test]
    fn one_row_counts_for_all_the_padding() {
        let log = |n: f64| n.ln() as f32;
        assert_eq!(counts(2, 4, 512), [0.0, 0.0, log(510.0), -1e30]);
        assert_eq!(counts(0, 1, 7), [log(7.0)]);
        assert_eq!(counts(3, 3, 3), [0.0; 3]);
        assert_eq!(counts(2, 3, 3), [0.0; 3]);
    }
}
