//! Text files as people save them: UTF-8, with its mark or without, and UTF-16 by its mark.

use std::io;

/// The text in a file's bytes, without its mark.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] for bytes that are no such text.
pub fn decoded(bytes: &[u8]) -> io::Result<String> {
    let invalid = |encoding: &str| {
        let text = format!("the text is not valid {encoding}");
        io::Error::new(io::ErrorKind::InvalidData, text)
    };
    let wide = |bytes: &[u8], read: fn([u8; 2]) -> u16| {
        let (pairs, rest) = bytes.as_chunks::<2>();
        let units = pairs.iter().map(|&pair| read(pair));
        let text: Result<String, _> = char::decode_utf16(units).collect();
        text.ok()
            .filter(|_| rest.is_empty())
            .ok_or_else(|| invalid("UTF-16"))
    };
    match bytes {
        [0xff, 0xfe, text @ ..] => wide(text, u16::from_le_bytes),
        [0xfe, 0xff, text @ ..] => wide(text, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, text @ ..] | text => match std::str::from_utf8(text) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(invalid("UTF-8 (or UTF-16 with its mark)")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn marks_say_how_text_is_encoded() {
        let text = "a café, 猫 🐈";
        let units: Vec<u16> = std::iter::once(0xfeff).chain(text.encode_utf16()).collect();
        let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        let marked = [&[0xef, 0xbb, 0xbf], text.as_bytes()].concat();
        for bytes in [&little[..], &big, &marked, text.as_bytes()] {
            assert_eq!(decoded(bytes).unwrap(), text);
        }
        for bad in [
            &little[..little.len() - 1],
            b"caf\xe9",
            &[0xff, 0xfe, 0, 0xd8],
        ] {
            assert!(decoded(bad).is_err(), "{bad:?}");
        }
    }
}
