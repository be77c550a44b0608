//! Repairs of single characters: ligatures, widths, quotes, line breaks, control characters.

use unicode_normalization::UnicodeNormalization;

/// Latin ligatures to letters, fullwidth and halfwidth forms to their usual ones, curly quotes to
/// straight ones, and every line break to `\n`.
pub(super) fn standardise(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut after_return = false;
    for c in text.chars() {
        // \r\n is one line break, which the \r has already written.
        if !(after_return && c == '\n') {
            standardise_one(c, &mut out);
        }
        after_return = c == '\r';
    }
    out
}

fn standardise_one(c: char, out: &mut String) {
    match c {
        '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => out.push('\n'),
        '\u{2bc}' | '\u{2018}'..='\u{201b}' => out.push('\''),
        '\u{201c}'..='\u{201f}' => out.push('"'),
        '\u{3000}' => out.push(' '),
        // The forms beyond ASCII, halfwidth katakana and hangul; the rest of the block as it is.
        '\u{ff01}'..='\u{ffef}' => out.extend(c.nfkc()),
        // The apostrophe inside is a curly one, which is straightened at once.
        'ŉ' => out.push_str("'n"),
        _ => match ligature(c) {
            Some(letters) => out.push_str(letters),
            None => out.push(c),
        },
    }
}

/// The letters of a ligature or digraph that is one for the sake of typography or of an old
/// encoding; not those, like æ, that are letters of their own.
fn ligature(c: char) -> Option<&'static str> {
    Some(match c {
        'Ĳ' => "IJ",
        'ĳ' => "ij",
        'Ǳ' => "DZ",
        'ǲ' => "Dz",
        'ǳ' => "dz",
        'Ǆ' => "DŽ",
        'ǅ' => "Dž",
        'ǆ' => "dž",
        'Ǉ' => "LJ",
        'ǈ' => "Lj",
        'ǉ' => "lj",
        'Ǌ' => "NJ",
        'ǋ' => "Nj",
        'ǌ' => "nj",
        'ﬀ' => "ff",
        'ﬁ' => "fi",
        'ﬂ' => "fl",
        'ﬃ' => "ffi",
        'ﬄ' => "ffl",
        'ﬅ' => "ſt",
        'ﬆ' => "st",
        _ => return None,
    })
}

/// Removes what colours text in a terminal: ESC, `[`, digits and semicolons, a letter.
pub(super) fn remove_terminal_escapes(text: &str) -> String {
    const OPENING: &str = "\u{1b}[";
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(OPENING) {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let parameters = escape.get(OPENING.len()..).unwrap_or_default();
        let after = parameters.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
        rest = match after.strip_prefix(|c: char| c.is_ascii_alphabetic()) {
            Some(after) => after,
            None => {
                out.push_str(OPENING);
                parameters
            }
        };
    }
    out.push_str(rest);
    out
}

/// Removes control characters that show nothing. Tab, form feed and line breaks stay, and so do
/// joiners, directions and tags, on which emoji and scripts depend.
pub(super) fn remove_controls(text: &str) -> String {
    let shows_nothing = |c: char| {
        matches!(c,
            '\0'..='\x08' | '\x0b' | '\x0e'..='\x1f' | '\x7f'
            | '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffc}')
    };
    text.chars().filter(|&c| !shows_nothing(c)).collect()
}
