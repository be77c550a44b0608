//! Repairs UTF-8 that was decoded as a single-byte encoding.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::badness::is_bad;
use super::encodings::{ENCODINGS, Kind, LOST, c1_as_windows, encode_all};

/// Repairs `text` until it no longer looks like mojibake or nothing helps.
pub(super) fn fix_encoding(text: &str) -> String {
    let mut text = text.to_owned();
    while let Some(fixed) = fix_step(&text).filter(|fixed| *fixed != text) {
        text = fixed;
    }
    text
}

/// Latin-1's control characters as the Windows-1252 characters that they were meant to be.
pub(super) fn fix_c1_controls(text: &str) -> String {
    text.chars().map(c1_as_windows).collect()
}

/// One layer of misreading undone, or `None` where the text is fine or beyond help.
fn fix_step(text: &str) -> Option<String> {
    if !is_bad(text) {
        return None;
    }
    for (kind, bytes) in encode_all(text) {
        if let Some(fixed) = decode_utf8(&restore(kind, bytes)) {
            return Some(fixed);
        }
    }
    let piecewise = fix_pieces(text);
    if piecewise != text {
        return Some(piecewise);
    }
    // No encoding explains it; Latin-1's control characters were still meant to be something else.
    Some(fix_c1_controls(text))
}

/// One place of a pattern of bytes: the ranges that it accepts.
type Place = &'static [(u8, u8)];

const SPACE: Place = &[(b' ', b' ')];
const CONTINUATION: Place = &[(0x80, 0xbf)];
/// Continuations other than 0x85 and 0xA0, which single-byte text has as … and a space.
const PLAIN: Place = &[(0x80, 0x84), (0x86, 0x9f), (0xa1, 0xbf)];
const FOUR: Place = &[(0xf0, 0xf0)];

/// Sequences that would be UTF-8 if their space were the byte 0xA0, a no-break space.
const SPACED: &[&[Place]] = &[
    &[
        &[
            (0xc2, 0xc3),
            (0xc5, 0xc5),
            (0xce, 0xce),
            (0xd0, 0xd0),
            (0xd9, 0xd9),
        ],
        SPACE,
    ],
    &[&[(0xe2, 0xe3)], SPACE, PLAIN],
    &[&[(0xe0, 0xe3)], PLAIN, SPACE],
    &[FOUR, SPACE, CONTINUATION, CONTINUATION],
    &[FOUR, CONTINUATION, SPACE, CONTINUATION],
    &[FOUR, CONTINUATION, CONTINUATION, SPACE],
];

const LOST_ONLY: Place = &[(LOST, LOST)];
const LOST_OR_ASKED: Place = &[(LOST, LOST), (b'?', b'?')];
const LOST_OR_KEPT: Place = &[(LOST, LOST), (0x80, 0xbf)];
const ANY: Place = &[(LOST, LOST), (b'?', b'?'), (0x80, 0xbf)];
const THREE_LEAD: Place = &[(0xe0, 0xef)];
const FOUR_LEAD: Place = &[(0xf0, 0xf4)];
/// The halves of a surrogate pair, each written as three bytes of UTF-8 (CESU-8).
const SURROGATE: Place = &[(0xed, 0xed)];
const HIGH: Place = &[(0xa0, 0xaf)];
const LOW: Place = &[(0xb0, 0xbf)];

/// UTF-8 and CESU-8 of which a byte was lost: it became U+FFFD, or a question mark.
const LOSSY: &[&[Place]] = &[
    &[&[(0xc2, 0xdf)], LOST_ONLY],
    &[&[(0xc2, 0xc3)], &[(b'?', b'?')]],
    &[SURROGATE, HIGH, LOST_OR_ASKED, SURROGATE, LOW, ANY],
    &[SURROGATE, HIGH, ANY, SURROGATE, LOW, LOST_OR_ASKED],
    &[THREE_LEAD, LOST_OR_ASKED, LOST_OR_KEPT],
    &[THREE_LEAD, LOST_OR_KEPT, LOST_OR_ASKED],
    &[FOUR_LEAD, LOST_OR_ASKED, LOST_OR_KEPT, LOST_OR_KEPT],
    &[FOUR_LEAD, LOST_OR_KEPT, LOST_OR_ASKED, LOST_OR_KEPT],
    &[FOUR_LEAD, LOST_OR_KEPT, LOST_OR_KEPT, LOST_OR_ASKED],
    &[LOST_ONLY],
];

/// Undoes what else happens to misread bytes: 0xA0 folded to a space, bytes lost.
fn restore(kind: Kind, mut bytes: Vec<u8>) -> Vec<u8> {
    // In Mac OS Roman a dash before a space looks just like it.
    if kind != Kind::MacRoman
        && (0..bytes.len()).any(|at| first_match(SPACED, &bytes, at).is_some())
    {
        bytes = restore_spaces(&restore_a_grave(&bytes));
    }
    if kind == Kind::Windows {
        bytes = replace(&bytes, LOSSY, |_| "\u{fffd}".as_bytes().to_vec());
    }
    bytes
}

/// `à` that stands for a word, as in `Ã la carte`, keeps the space after it.
fn restore_a_grave(bytes: &[u8]) -> Vec<u8> {
    // Portuguese contractions of à, in which no space belongs.
    const CONTRACTIONS: [&[u8]; 5] = [b" ", b"quele", b"quela", b"quilo", b"s "];
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        out.push(byte);
        rest = after;
        if let (0xc3, [b' ', after @ ..]) = (byte, rest)
            && !CONTRACTIONS.iter().any(|word| after.starts_with(word))
        {
            out.extend([0xa0, b' ']);
            rest = after;
        }
    }
    out
}

fn restore_spaces(bytes: &[u8]) -> Vec<u8> {
    replace(bytes, SPACED, |found| {
        found
            .iter()
            .map(|&byte| if byte == b' ' { 0xa0 } else { byte })
            .collect()
    })
}

/// Replaces matches from left to right, each of the first pattern in `patterns` that matches.
fn replace(bytes: &[u8], patterns: &[&[Place]], by: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match first_match(patterns, bytes, at).and_then(|len| bytes.get(at..at + len)) {
            Some(found) => {
                out.extend(by(found));
                at += found.len();
            }
            None => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

/// The length of the first of `patterns` that matches at `at`.
fn first_match(patterns: &[&[Place]], bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    let accepts = |place: &Place, byte: u8| {
        place
            .iter()
            .any(|&(low, high)| (low..=high).contains(&byte))
    };
    let matches = |pattern: &&&[Place]| {
        rest.len() >= pattern.len()
            && pattern
                .iter()
                .zip(rest)
                .all(|(place, &byte)| accepts(place, byte))
    };
    patterns.iter().find(matches).map(|pattern| pattern.len())
}

/// UTF-8, in which also the pairs of CESU-8 and Java's two-byte NUL are read.
fn decode_utf8(bytes: &[u8]) -> Option<String> {
    if !bytes.iter().any(|byte| matches!(byte, 0xed | 0xc0)) {
        return String::from_utf8(bytes.to_vec()).ok();
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        rest = match *rest {
            [0xc0, 0x80, ref after @ ..] => {
                out.push(0);
                after
            }
            [
                0xed,
                b1 @ 0xa0..=0xaf,
                b2 @ 0x80..=0xbf,
                0xed,
                b4 @ 0xb0..=0xbf,
                b5 @ 0x80..=0xbf,
                ref after @ ..,
            ] => {
                let bits = |byte: u8, mask: u8, shift: u32| u32::from(byte & mask) << shift;
                let pair =
                    bits(b1, 0x0f, 16) | bits(b2, 0x3f, 10) | bits(b4, 0x0f, 6) | bits(b5, 0x3f, 0);
                let c = char::from_u32(0x1_0000 + pair)?;
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                after
            }
            _ => {
                out.push(byte);
                after
            }
        };
    }
    String::from_utf8(out).ok()
}

const FIRST_OF_2: u8 = 1;
const FIRST_OF_3: u8 = 1 << 1;
const FIRST_OF_4: u8 = 1 << 2;
const NEXT: u8 = 1 << 3;
/// A continuation that does not usually stand for itself beside mojibake.
const NEXT_ONLY: u8 = 1 << 4;

/// Continuations that are ordinary punctuation as well.
const ORDINARY: &str = "–—―‘’‚“”„•…";

/// What a character may have been in UTF-8 before it was misread as Latin-1 or a Windows encoding.
static ROLES: LazyLock<HashMap<char, u8>> = LazyLock::new(|| {
    let mut roles = HashMap::from([(' ', NEXT)]);
    let like_latin1 = ENCODINGS
        .iter()
        .filter(|it| matches!(it.kind, Kind::Latin1 | Kind::Windows));
    for (c, byte) in like_latin1.flat_map(|encoding| encoding.high_characters()) {
        *roles.entry(c).or_insert(0) |= match byte {
            0x80..=0xbf if ORDINARY.contains(c) => NEXT,
            0x80..=0xbf => NEXT | NEXT_ONLY,
            0xc2..=0xdf => FIRST_OF_2,
            0xe0..=0xef => FIRST_OF_3,
            // Others lead to unassigned characters only.
            0xf0 | 0xf3 => FIRST_OF_4,
            _ => 0,
        };
    }
    roles
});

/// Repairs the parts of `text` that are distinctly misread UTF-8 where the whole is not.
fn fix_pieces(text: &str) -> String {
    let roles = |c: char| ROLES.get(&c).copied().unwrap_or(0);
    let characters: Vec<(usize, u8)> = text.char_indices().map(|(at, c)| (at, roles(c))).collect();
    let offset = |at: usize| characters.get(at).map_or(text.len(), |&(offset, _)| offset);
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < characters.len() {
        // Not in the middle of a garble: a part of it would only make it worse.
        let inside = at.checked_sub(1).and_then(|before| characters.get(before));
        let inside = inside.is_some_and(|(_, roles)| roles & NEXT_ONLY != 0);
        let len = if inside {
            0
        } else {
            sequences(characters.get(at..).unwrap_or_default())
        };
        let end = at + len.max(1);
        let piece = text.get(offset(at)..offset(end)).unwrap_or_default();
        if len > 0 && piece.len() < text.len() && is_bad(piece) {
            out.push_str(&fix_encoding(piece));
        } else {
            out.push_str(piece);
        }
        at = end;
    }
    out
}

/// How many characters at the beginning are, one after the other, sequences of UTF-8.
fn sequences(characters: &[(usize, u8)]) -> usize {
    let mut len = 0;
    while let Some(&(_, first)) = characters.get(len) {
        let following = |count: usize| {
            let next = characters.get(len + 1..len + 1 + count);
            next.is_some_and(|next| next.iter().all(|(_, roles)| roles & NEXT != 0))
        };
        let found = [(FIRST_OF_2, 1), (FIRST_OF_3, 2), (FIRST_OF_4, 3)];
        let found = found
            .iter()
            .find(|&&(role, count)| first & role != 0 && following(count));
        match found {
            Some((_, count)) => len += 1 + count,
            None => break,
        }
    }
    len
}
