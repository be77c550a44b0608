//! The single-byte encodings that UTF-8 is most often misread as.
//!
//! Bytes below 0x80 are ASCII in all of them.

use std::collections::HashMap;
use std::sync::LazyLock;

/// A byte that a Windows encoding leaves undefined is read as the Latin-1 control character.
const HOLE: char = '\0';

/// The byte of U+FFFD in the Windows encodings, which marks a lost character.
pub(super) const LOST: u8 = 0x1a;

/// One encoding.
pub(super) struct Encoding {
    pub(super) kind: Kind,
    /// The characters of the bytes 0x80..=0xFF; empty for Latin-1.
    high: &'static str,
}

/// The differences that the repair makes between encodings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// ISO 8859-1.
    Latin1,
    /// A Windows code page, holes filled and [`LOST`] for U+FFFD.
    Windows,
    /// Mac OS Roman.
    MacRoman,
    /// Others without holes.
    Other,
}

const WINDOWS_1252: &str = "\
    €\0‚ƒ„…†‡ˆ‰Š‹Œ\0Ž\0\0‘’“”•–—˜™š›œ\0žŸ\
    \u{a0}¡¢£¤¥¦§¨©ª«¬\u{ad}®¯°±²³´µ¶·¸¹º»¼½¾¿\
    ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖ×ØÙÚÛÜÝÞß\
    àáâãäåæçèéêëìíîïðñòóôõö÷øùúûüýþÿ";

/// In the order in which they are tried.
pub(super) const ENCODINGS: [Encoding; 10] = [
    Encoding {
        kind: Kind::Latin1,
        high: "",
    },
    Encoding {
        kind: Kind::Windows,
        high: WINDOWS_1252,
    },
    // Windows-1251, Cyrillic.
    Encoding {
        kind: Kind::Windows,
        high: "\
            ЂЃ‚ѓ„…†‡€‰Љ‹ЊЌЋЏђ‘’“”•–—\0™љ›њќћџ\
            \u{a0}ЎўЈ¤Ґ¦§Ё©Є«¬\u{ad}®Ї°±Ііґµ¶·ё№є»јЅѕї\
            АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ\
            абвгдежзийклмнопрстуфхцчшщъыьэюя",
    },
    // Windows-1250, Central European.
    Encoding {
        kind: Kind::Windows,
        high: "\
            €\0‚\0„…†‡\0‰Š‹ŚŤŽŹ\0‘’“”•–—\0™š›śťžź\
            \u{a0}ˇ˘Ł¤Ą¦§¨©Ş«¬\u{ad}®Ż°±˛ł´µ¶·¸ąş»Ľ˝ľż\
            ŔÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐÖ×ŘŮÚŰÜÝŢß\
            ŕáâăäĺćçčéęëěíîďđńňóôőö÷řůúűüýţ˙",
    },
    // Windows-1253, Greek.
    Encoding {
        kind: Kind::Windows,
        high: "\
            €\0‚ƒ„…†‡\0‰\0‹\0\0\0\0\0‘’“”•–—\0™\0›\0\0\0\0\
            \u{a0}΅Ά£¤¥¦§¨©\0«¬\u{ad}®―°±²³΄µ¶·ΈΉΊ»Ό½ΎΏ\
            ΐΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡ\0ΣΤΥΦΧΨΩΪΫάέήί\
            ΰαβγδεζηθικλμνξοπρςστυφχψωϊϋόύώ\0",
    },
    // Windows-1254, Turkish.
    Encoding {
        kind: Kind::Windows,
        high: "\
            €\0‚ƒ„…†‡ˆ‰Š‹Œ\0\0\0\0‘’“”•–—˜™š›œ\0\0Ÿ\
            \u{a0}¡¢£¤¥¦§¨©ª«¬\u{ad}®¯°±²³´µ¶·¸¹º»¼½¾¿\
            ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏĞÑÒÓÔÕÖ×ØÙÚÛÜİŞß\
            àáâãäåæçèéêëìíîïğñòóôõö÷øùúûüışÿ",
    },
    // Windows-1257, Baltic.
    Encoding {
        kind: Kind::Windows,
        high: "\
            €\0‚\0„…†‡\0‰\0‹\0¨ˇ¸\0‘’“”•–—\0™\0›\0¯˛\0\
            \u{a0}\0¢£¤\0¦§Ø©Ŗ«¬\u{ad}®Æ°±²³´µ¶·ø¹ŗ»¼½¾æ\
            ĄĮĀĆÄÅĘĒČÉŹĖĢĶĪĻŠŃŅÓŌÕÖ×ŲŁŚŪÜŻŽß\
            ąįāćäåęēčéźėģķīļšńņóōõö÷ųłśūüżž˙",
    },
    // ISO 8859-2, Central European.
    Encoding {
        kind: Kind::Other,
        high: "\
            \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\
            \u{a0}Ą˘Ł¤ĽŚ§¨ŠŞŤŹ\u{ad}ŽŻ°ą˛ł´ľśˇ¸šşťź˝žż\
            ŔÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐÖ×ŘŮÚŰÜÝŢß\
            ŕáâăäĺćçčéęëěíîďđńňóôőö÷řůúűüýţ˙",
    },
    Encoding {
        kind: Kind::MacRoman,
        high: "\
            ÄÅÇÉÑÖÜáàâäãåçéèêëíìîïñóòôöõúùûü\
            †°¢£§•¶ß®©™´¨≠ÆØ∞±≤≥¥µ∂∑∏π∫ªºΩæø\
            ¿¡¬√ƒ≈∆«»…\u{a0}ÀÃÕŒœ–—“”‘’÷◊ÿŸ⁄€‹›ﬁﬂ\
            ‡·‚„‰ÂÊÁËÈÍÎÏÌÓÔ\u{f8ff}ÒÚÛÙıˆ˜¯˘˙˚¸˝˛ˇ",
    },
    // Code page 437, MS-DOS.
    Encoding {
        kind: Kind::Other,
        high: "\
            ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒ\
            áíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐\
            └┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀\
            αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}",
    },
];

impl Encoding {
    /// The characters of the bytes 0x80..=0xFF, with those bytes.
    pub(super) fn high_characters(&self) -> Vec<(char, u8)> {
        let bytes = 0x80..=u8::MAX;
        match self.kind {
            Kind::Latin1 => bytes.map(|byte| (char::from(byte), byte)).collect(),
            _ => {
                let fill = |(c, byte)| {
                    if c == HOLE {
                        (char::from(byte), byte)
                    } else {
                        (c, byte)
                    }
                };
                self.high.chars().zip(bytes).map(fill).collect()
            }
        }
    }
}

/// For each encoding, the bytes of its characters beyond ASCII.
static ENCODERS: LazyLock<[HashMap<char, u8>; 10]> = LazyLock::new(|| {
    ENCODINGS
        .each_ref()
        .map(|encoding| encoding.high_characters().into_iter().collect())
});

/// Windows-1252's characters for 0x80..=0xFF, holes filled.
static C1_AS_WINDOWS: LazyLock<HashMap<char, char>> = LazyLock::new(|| {
    let windows = Encoding {
        kind: Kind::Windows,
        high: WINDOWS_1252,
    };
    let pairs = windows.high_characters().into_iter();
    pairs
        .map(|(c, byte)| (char::from(byte), c))
        .filter(|&(byte, _)| byte < '\u{a0}')
        .collect()
});

/// Every encoding in which `text` can be written, with the bytes that it then is.
pub(super) fn encode_all(text: &str) -> impl Iterator<Item = (Kind, Vec<u8>)> {
    let encoders = ENCODINGS.iter().zip(ENCODERS.iter());
    encoders.filter_map(move |(encoding, encoder)| {
        let bytes: Option<Vec<u8>> = text
            .chars()
            .map(|c| encode(encoding.kind, encoder, c))
            .collect();
        Some((encoding.kind, bytes?))
    })
}

fn encode(kind: Kind, encoder: &HashMap<char, u8>, c: char) -> Option<u8> {
    match (kind, c) {
        (Kind::Windows, '\u{fffd}') => Some(LOST),
        // A real U+001A in the text would be taken for a lost character.
        (Kind::Windows, '\u{1a}') => None,
        (_, '\0'..='\x7f') => u8::try_from(c).ok(),
        _ => encoder.get(&c).copied(),
    }
}

/// A Latin-1 control character (U+0080 to U+009F) as the Windows-1252 character of that byte;
/// others as they are.
pub(super) fn c1_as_windows(c: char) -> char {
    C1_AS_WINDOWS.get(&c).copied().unwrap_or(c)
}
