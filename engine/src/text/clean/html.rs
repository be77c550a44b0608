//! HTML entities, decoded by two rules: HTML 5's own, and ftfy's cautious one.

use std::collections::HashMap;
use std::sync::LazyLock;

use entities::ENTITIES;

/// `&name;` (and, for the oldest ones, `&name`) without the ampersand → its value.
static NAMED: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| {
    let pairs = ENTITIES.iter();
    pairs
        .filter_map(|entity| Some((entity.entity.strip_prefix('&')?, entity.characters)))
        .collect()
});

/// The most characters that HTML 5 looks at for a name, as Python's `html` limits it.
const LONGEST_NAME: usize = 32;

/// The most letters and digits that ftfy accepts between `&` and `;`.
const LONGEST_WHOLE: usize = 24;

/// Windows-1252's characters for the numbers 0x80..0xA0, which HTML 5 reads so.
const C1: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// Decodes as browsers do, which accepts the oldest names without a semicolon (`&copy`) and
/// numbers with or without one. Python's `html.unescape`.
pub(super) fn unescape(text: &str) -> String {
    replace_after_ampersands(text, |rest| match rest.strip_prefix('#') {
        Some(digits) => unescape_number(digits).map(|(value, len)| (value, 1 + len)),
        None => unescape_name(rest),
    })
}

/// Decodes only entities that end in a semicolon, and upper-cased ones (`&EACUTE;`) where that is
/// not ambiguous. ftfy's `unescape_html`.
pub(super) fn unescape_whole(text: &str) -> String {
    replace_after_ampersands(text, |rest| {
        let hash = usize::from(rest.starts_with('#'));
        let body = rest.get(hash..)?;
        let letters = body.bytes().take_while(u8::is_ascii_alphanumeric).count();
        if !(1..=LONGEST_WHOLE).contains(&letters) || body.as_bytes().get(letters) != Some(&b';') {
            return None;
        }
        let len = hash + letters + 1;
        let entity = rest.get(..len)?;
        let value = if hash == 1 {
            let decoded = unescape(&format!("&{entity}"));
            // One that was decoded in part is left alone.
            (!decoded.contains(';')).then_some(decoded)
        } else {
            NAMED
                .get(entity)
                .map(|&value| value.to_owned())
                .or_else(|| upper_cased(entity))
        };
        value.map(|value| (value, len))
    })
}

/// `EACUTE;` → `É`: an entity whose own name is all lower case, written all in upper case, unless
/// HTML 5 has a reading of it.
fn upper_cased(entity: &str) -> Option<String> {
    let lower = entity.to_ascii_lowercase();
    let value = NAMED.get(lower.as_str())?;
    let written = format!("&{entity}");
    (lower.to_ascii_uppercase() == entity && unescape(&written) == written)
        .then(|| value.to_uppercase())
}

/// Replaces each entity with the value from `decode`, which also returns the entity's length in bytes
/// after the ampersand.
fn replace_after_ampersands(
    text: &str,
    decode: impl Fn(&str) -> Option<(String, usize)>,
) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        rest = match decode(after).and_then(|(value, len)| Some((value, after.get(len..)?))) {
            Some((value, after)) => {
                out.push_str(&value);
                after
            }
            None => {
                out.push('&');
                after
            }
        };
    }
    out.push_str(rest);
    out
}

/// `digits` is what follows `&#`: the value and the bytes it takes, semicolon included.
fn unescape_number(digits: &str) -> Option<(String, usize)> {
    let (radix, prefix) = match digits.as_bytes() {
        [b'x' | b'X', ..] => (16, 1),
        _ => (10, 0),
    };
    let digits = digits.get(prefix..)?;
    let len = digits
        .bytes()
        .take_while(|byte| char::from(*byte).is_digit(radix))
        .count();
    if len == 0 {
        return None;
    }
    // A number too long for 32 bits is beyond Unicode as well.
    let number = u32::from_str_radix(digits.get(..len)?, radix).unwrap_or(u32::MAX);
    let semicolon = usize::from(digits.as_bytes().get(len) == Some(&b';'));
    Some((character(number), prefix + len + semicolon))
}

/// What HTML 5 reads for a number: nothing for those that no text may hold.
fn character(number: u32) -> String {
    if number == 0 {
        return '\u{fffd}'.to_string();
    }
    if let Some(c1) = number.checked_sub(0x80).and_then(|at| C1.get(at as usize)) {
        return c1.to_string();
    }
    let Some(character) = char::from_u32(number) else {
        return '\u{fffd}'.to_string();
    };
    let forbidden = matches!(number, 0x1..=0x8 | 0xb | 0xe..=0x1f | 0x7f | 0xfdd0..=0xfdef)
        || number & 0xfffe == 0xfffe;
    if forbidden {
        String::new()
    } else {
        character.to_string()
    }
}

/// The value of the entity at the start of `rest`, which follows `&`, and the length of its name.
fn unescape_name(rest: &str) -> Option<(String, usize)> {
    let ends = |c: char| matches!(c, '\t' | '\n' | '\u{c}' | ' ' | '<' | '&' | '#' | ';');
    let name = rest
        .char_indices()
        .take(LONGEST_NAME)
        .take_while(|&(_, c)| !ends(c));
    let mut len = name.last().map(|(at, c)| at + c.len_utf8())?;
    if rest.as_bytes().get(len) == Some(&b';') {
        len += 1;
    }
    // The longest known name of at least two characters, unless the whole text is one.
    let shorter = rest
        .char_indices()
        .map(|(at, _)| at)
        .take_while(|&at| at < len)
        .skip(2);
    let mut lengths: Vec<usize> = shorter.collect();
    lengths.push(len);
    lengths.iter().rev().find_map(|&len| {
        let value = NAMED.get(rest.get(..len)?)?;
        Some(((*value).to_owned(), len))
    })
}
