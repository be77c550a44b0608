//! Cleans a prompt like the reference, before it becomes tokens.
//!
//! Mirrors `prompt_clean` of diffusers' `WanPipeline`: `ftfy.fix_text` with its default
//! configuration, HTML entities decoded twice, white space folded to single spaces. This matters:
//! a curly quote or a fullwidth letter is another token, and another token is another clip.
//!
//! | module | it repairs |
//! |---|---|
//! | `html` | `&eacute;` |
//! | `mojibake` | `sÃ³`, UTF-8 that was read as another encoding |
//! | `badness` | decides whether text looks like mojibake |
//! | `encodings` | the ten single-byte encodings that it may have been read as |
//! | `characters` | ligatures, widths, quotes, line breaks, control characters |
//!
//! The rules are those of ftfy 6.3.1 (<https://ftfy.readthedocs.io>); lone surrogates, which Python
//! strings can hold and Rust strings cannot, do not occur.

mod badness;
mod characters;
mod encodings;
mod html;
mod mojibake;

use unicode_normalization::UnicodeNormalization;

/// The longest prompt, in bytes, that is worth cleaning; a model reads the first 512 tokens.
///
/// The reference works on pieces of 1,000,000 characters, so that up to here there is one piece.
pub const PROMPT_LIMIT: usize = 1_000_000;

/// `text` as the reference's tokenizer sees it: mended, HTML decoded, white space folded.
///
/// Meant for text of at most [`PROMPT_LIMIT`] bytes. The result may be empty.
///
/// ```
/// use kinora::text::clean::clean;
/// assert_eq!(clean("  a “red”\n kite &amp;amp; ﬂags, cafÃ© "), "a \"red\" kite & flags, café");
/// ```
#[must_use]
pub fn clean(text: &str) -> String {
    let mended = fix_text(text);
    let decoded = html::unescape(&html::unescape(&mended));
    fold_white_space(&decoded)
}

/// `ftfy.fix_text`: each line mended on its own.
fn fix_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // A literal < means that the text is HTML with intended entities, which then stay.
    let mut entities = true;
    for line in text.split_inclusive('\n') {
        entities &= !line.contains('<');
        out.push_str(&fix_line(line, entities));
    }
    out
}

/// Repeats every repair until none changes anything: one may uncover work for another.
fn fix_line(line: &str, entities: bool) -> String {
    let mut text = line.to_owned();
    loop {
        let mut fixed = text.clone();
        if entities {
            fixed = html::unescape_whole(&fixed);
        }
        fixed = mojibake::fix_encoding(&fixed);
        fixed = mojibake::fix_c1_controls(&fixed);
        fixed = characters::standardise(&fixed);
        fixed = characters::remove_terminal_escapes(&fixed);
        fixed = characters::remove_controls(&fixed);
        fixed = fixed.nfc().collect();
        if fixed == text {
            return fixed;
        }
        text = fixed;
    }
}

/// `re.sub(r"\s+", " ", text).strip()`.
fn fold_white_space(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn each_repair() {
        for (text, expected) in [
            ("", ""),
            (" \t\n\u{a0}\u{3000} ", ""),
            ("a  red\tkite\r\nglides", "a red kite glides"),
            ("‘single’ “double” ‛‟ʼ", "'single' \"double\" '\"'"),
            ("ﬂuﬃeﬆ Ĳ ŉ", "fluffiest IJ 'n"),
            ("ＬＯＵＤ　ＮＯＩＳＥＳ Ｕﾀｰﾝ ｶﾞ", "LOUD NOISES Uターン ガ"),
            ("e\u{301}", "é"),
            ("\u{1b}[36;44mblue\u{1b}[0m", "blue"),
            ("a\u{0}b\u{7}c\u{feff}d\u{206a}e\u{fffc}", "abcde"),
            ("a\u{85}b\u{2028}c\u{2029}d", "a…b c d"),
            ("&lt;tag&gt; &amp;amp;amp;", "<tag> &"),
            (
                "P&EACUTE;REZ BUNDESSTRA&SZLIG;E &nTILDE;",
                "PÉREZ BUNDESSTRASSE &nTILDE;",
            ),
            ("this&not that", "this¬ that"),
            ("<b>&amp;eacute;</b>", "<b>é</b>"),
            ("&#x41;&#65;&#128;&#xD800;&#1;", "AA€\u{fffd}"),
            ("sÃ³", "só"),
            ("voilÃ le travail", "voilà le travail"),
            ("âœ” No problems", "✔ No problems"),
            ("ã\u{83}\u{84}", "ツ"),
            ("naÃ¯ve cafÃ© — ok", "naïve café — ok"),
            ("l’humanitÃ©", "l'humanité"),
            ("Ã\u{a0}", "à"),
            ("â€œ like this â€�", "\" like this �"),
            ("РџСЂРёРІРµС‚", "Привет"),
            ("一只猫在草地上走", "一只猫在草地上走"),
            ("👩‍🚀 flies", "👩‍🚀 flies"),
        ] {
            assert_eq!(clean(text), expected, "{text:?}");
        }
    }
}
