//! Whether text looks like mojibake: sequences of characters that no one types and that UTF-8
//! read in another encoding is full of. The rules are those of `ftfy.badness`.

use std::collections::HashMap;
use std::sync::LazyLock;

const COMMON: u16 = 1;
const C1: u16 = 1 << 1;
const BAD: u16 = 1 << 2;
const LAW: u16 = 1 << 3;
const CURRENCY: u16 = 1 << 4;
const START: u16 = 1 << 5;
const END: u16 = 1 << 6;
const NUMERIC: u16 = 1 << 7;
const KAOMOJI: u16 = 1 << 8;
const UPPER_ACCENTED: u16 = 1 << 9;
const LOWER_ACCENTED: u16 = 1 << 10;
const UPPER_COMMON: u16 = 1 << 11;
const LOWER_COMMON: u16 = 1 << 12;
const BOX: u16 = 1 << 13;

/// The characters of each class that occur in mojibake.
const CLASSES: [(u16, &str); 14] = [
    (COMMON, "\u{a0}\u{ad}´·–—―’…"),
    (
        C1,
        "\u{80}\u{81}\u{82}\u{83}\u{84}\u{85}\u{86}\u{87}\u{88}\u{89}\u{8a}\u{8b}\u{8c}\u{8d}\u{8e}\u{8f}\
         \u{90}\u{91}\u{92}\u{93}\u{94}\u{95}\u{96}\u{97}\u{98}\u{99}\u{9a}\u{9b}\u{9c}\u{9d}\u{9e}\u{9f}",
    ),
    (BAD, "¤¦¨ª¬¯¸ºƒˆˇ˘˛˜†‡‰⌐◊\u{fffd}"),
    (LAW, "§¶"),
    (CURRENCY, "¢£¥₧€"),
    (START, "¡©«¿΄΅‘‚“„•‹\u{f8ff}"),
    (END, "®»˝”›™"),
    (NUMERIC, "±²³µ¹¼½¾×÷⁄№∂∆∏∑√∞∩∫≈≠≡≤≥"),
    // Letters used in emoticons, which may occur outside words.
    (KAOMOJI, "°ÒÓÔÕÖÙÚÛÜòóôõöøùúûüŌŐŪŲ"),
    (
        UPPER_ACCENTED,
        "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑØÜÝĀĂĄĆČĎĐĒĖĘĚĞĢĪİĶĹĻĽŁŃŅŇŒŘŚŞŠŢŤŮŰŸŹŻŽҐ",
    ),
    (
        LOWER_ACCENTED,
        "ßàáâãäåæçèéêëìíîïðñüāăąćčďđēėęěğģīįķĺļľłœŕśşšťźżžґﬁﬂ",
    ),
    (
        UPPER_COMMON,
        "ÞΆΈΉΊΌΎΏΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡ\u{3a2}ΣΤΥΦΧΨΩΪΫ\
         ЁЂЃЄЅІЇЈЉЊЋЌЍЎЏАБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ",
    ),
    (
        LOWER_COMMON,
        "άέήίΰαβγδεζηθικλμνξοπρςστυφχψω\
         абвгдежзийклмнопрстуфхцчшщъыьэюяѐёђѓєѕіїјљњћќѝўџ",
    ),
    (BOX, "│┌┐┘├┤┬┼═║╒╓╔╕╖╗╘╙╚╛╜╝╞╟╠╡╢╣╤╥╦╧╨╩╪╫╬▀▄█▌▐░▒▓"),
];

static CLASSES_OF: LazyLock<HashMap<char, u16>> = LazyLock::new(|| {
    let mut classes = HashMap::new();
    for (class, characters) in CLASSES {
        for c in characters.chars() {
            *classes.entry(c).or_insert(0) |= class;
        }
    }
    classes
});

/// The characters that one place of a rule accepts.
enum Place {
    /// A character of one of the classes, or one of these.
    Of(u16, &'static str),
    /// A character for which this holds.
    Is(fn(char) -> bool),
}
use Place::{Is, Of};

const ACCENTED: u16 = LOWER_ACCENTED | UPPER_ACCENTED;
const PUNCTUATION: u16 = START | END;
/// Classes that are suspicious next to a bad character.
const ODD: u16 = ACCENTED | BOX | PUNCTUATION | CURRENCY | NUMERIC | LAW;
/// What follows Ø and Ù in Arabic words read as Windows-1252.
const ARABIC: Place = Of(COMMON | CURRENCY | BAD | NUMERIC | START, "ŸŠ®°µ»");
const CYRILLIC: Place = Of(0, "ВГРС");
const GREEK: Place = Of(0, "ΒΓΞΟ");

/// The sequences that give mojibake away.
const RULES: &[&[Place]] = &[
    &[Of(C1, "")],
    &[Of(ODD | BAD, ""), Of(BAD, "")],
    &[
        Is(|c| c.is_ascii_alphabetic()),
        Of(LOWER_COMMON | UPPER_COMMON, ""),
        Of(BAD, ""),
    ],
    &[Of(BAD, ""), Of(ODD, "")],
    &[
        Of(
            LOWER_ACCENTED | LOWER_COMMON | BOX | END | CURRENCY | NUMERIC,
            "",
        ),
        Of(UPPER_ACCENTED, ""),
    ],
    &[
        Of(BOX | END | CURRENCY | NUMERIC, ""),
        Of(LOWER_ACCENTED, ""),
    ],
    &[Of(LOWER_ACCENTED | BOX | END, ""), Of(CURRENCY, "")],
    &[Is(is_space), Of(UPPER_ACCENTED, ""), Of(CURRENCY, "")],
    &[Of(UPPER_ACCENTED | BOX, ""), Of(NUMERIC | LAW, "")],
    &[
        Of(ACCENTED | BOX | CURRENCY | END, ""),
        Of(START, ""),
        Of(NUMERIC, ""),
    ],
    &[
        Of(ACCENTED | CURRENCY | NUMERIC | BOX | LAW, ""),
        Of(END, ""),
        Of(START, ""),
    ],
    &[Of(CURRENCY | NUMERIC | BOX, ""), Of(START, "")],
    &[
        Is(|c| c.is_ascii_lowercase()),
        Of(UPPER_ACCENTED, ""),
        Of(START | CURRENCY, ""),
    ],
    &[Of(BOX, ""), Of(KAOMOJI, "")],
    &[
        Of(ACCENTED | CURRENCY | NUMERIC | PUNCTUATION | LAW, ""),
        Of(BOX, ""),
    ],
    &[Of(BOX, ""), Of(END, "")],
    &[
        Of(ACCENTED, ""),
        Of(PUNCTUATION, ""),
        Is(|c| c.is_alphanumeric() || c == '_'),
    ],
    // œ before anything but an unaccented Latin letter.
    &[Of(0, "Œœ"), Is(|c| !c.is_ascii_alphabetic())],
    &[Of(UPPER_ACCENTED, ""), Of(0, "°")],
    // Windows-1252's commonest pairs.
    &[
        Of(0, "ÂÃÎÐ"),
        Of(PUNCTUATION, "€œŠš¢£Ÿž\u{a0}\u{ad}®©°·»–—´"),
    ],
    &[Of(0, "×"), Of(0, "²³")],
    &[Of(0, "ØÙ"), ARABIC, Of(0, "ØÙ"), ARABIC],
    &[Of(0, "à"), Of(0, "²µ¹¼½¾")],
    // Mac OS Roman.
    &[Of(0, "√"), Of(0, "±∂†≠®™´≤≥¥µø")],
    &[Of(0, "≈"), Of(0, "°¢")],
    &[Of(0, "‚"), Of(0, "Ä"), Of(0, "ìîïòôúùû†°¢π")],
    &[Of(0, "‚"), Of(0, "âó"), Of(0, "àä°ê")],
    // Windows-1251.
    &[Of(0, "в"), Of(0, "Ђ")],
    &[
        CYRILLIC,
        Of(C1 | BAD | PUNCTUATION | CURRENCY, "°µ"),
        CYRILLIC,
    ],
    &[
        Of(0, "Г"),
        Of(0, "ў"),
        Of(0, "В"),
        Of(0, "Ђ"),
        Of(0, "В"),
        Is(|c| c != '\n'),
        Is(|c| c.is_ascii_alphabetic() || c == ' '),
    ],
    // à and á, and a no-break space, in Windows-1252.
    &[Of(0, "Ã"), Of(0, "\u{a0}¡")],
    &[Is(|c| c.is_ascii_lowercase()), Of(0, "ÃÂ"), Of(0, " ")],
    &[
        Is(|c| c.is_ascii_lowercase()),
        Is(is_space),
        Of(0, "ÃÂ"),
        Of(0, " "),
    ],
    // Â before a character that is its own encoding.
    &[
        Of(END, "abcdefghijklmnopqrstuvwxyz.,?!"),
        Of(0, "Â"),
        Of(PUNCTUATION, " "),
    ],
    // Windows-1253.
    &[Of(0, "β"), Of(0, "€"), Of(0, "™\u{a0}Ά\u{ad}®°")],
    &[GREEK, Of(C1 | BAD | PUNCTUATION | CURRENCY, "°"), GREEK],
    // Windows-1257.
    &[Of(0, "ā"), Of(0, "€")],
];

/// Whether any of `text` looks like mojibake.
pub(super) fn is_bad(text: &str) -> bool {
    if text.is_ascii() {
        return false;
    }
    // Each character with its classes, looked up once.
    let characters: Vec<(char, u16)> = text
        .chars()
        .map(|c| (c, CLASSES_OF.get(&c).copied().unwrap_or(0)))
        .collect();
    // The one rule that holds only at the beginning.
    if matches!(characters.as_slice(), [('Ã' | 'Â', _), (' ', _), ..]) {
        return true;
    }
    let matches = |rule: &&[Place], at: &[(char, u16)]| {
        at.len() >= rule.len()
            && rule
                .iter()
                .zip(at)
                .all(|(place, &(c, classes))| place.accepts(c, classes))
    };
    (0..characters.len()).any(|at| {
        let rest = characters.get(at..).unwrap_or_default();
        RULES.iter().any(|rule| matches(rule, rest))
    })
}

impl Place {
    fn accepts(&self, c: char, classes: u16) -> bool {
        match self {
            Of(wanted, others) => classes & wanted != 0 || others.contains(c),
            Is(holds) => holds(c),
        }
    }
}

/// Python's `\s`, which counts four control characters as white space.
fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\x1c'..='\x1f')
}
