//! The names that a missing name may have been meant to be.

/// Names beyond this many are not looked at: a suggestion is not worth a second.
const CANDIDATES: usize = 8192;

/// Up to two of `names` that differ from `wanted` by at most a quarter of its length, nearest
/// first, worded for the end of an error message; empty where there are none.
pub(super) fn suggestion<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> String {
    let limit = (wanted.chars().count() / 4).max(2);
    let mut near: Vec<(usize, &str)> = names
        .take(CANDIDATES)
        .filter(|name| name.len().abs_diff(wanted.len()) <= limit)
        .map(|name| (distance(wanted, name), name))
        .filter(|&(distance, _)| distance <= limit)
        .collect();
    near.sort_unstable();
    match near.as_slice() {
        [] => String::new(),
        [(_, name)] => format!("; the nearest name is {name:?}"),
        [(_, first), (_, second), ..] => {
            format!("; the nearest names are {first:?} and {second:?}")
        }
    }
}

/// Levenshtein's distance, in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut before = i + 1;
        for (slot, &right) in row.iter_mut().skip(1).zip(&b) {
            let here = (diagonal + usize::from(left != right)).min(1 + before.min(*slot));
            diagonal = std::mem::replace(slot, here);
            before = here;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{distance, suggestion};

    #[test]
    fn distances() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("flaw", "lawn", 2),
            ("same", "same", 0),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn the_nearest_come_first() {
        let names = ["proj_out.bias", "proj_out.weight", "proj_in.weight", "x"];
        assert_eq!(
            suggestion("proj_out.weights", names.into_iter()),
            "; the nearest names are \"proj_out.weight\" and \"proj_in.weight\""
        );
        assert_eq!(suggestion("text_encoder", names.into_iter()), "");
    }
}
