//! Free keys and values inside a movie: `moov/meta` with the handler `mdta`.
//!
//! `keys` lists the names, `ilst` the values by number; ffprobe, exiftool and QuickTime show them.
//! Source: QuickTime File Format, "Metadata"; there a value of type 1 is UTF-8.

use super::boxes::{Mp4Box, split, u32_at};
use crate::error::MediaError;

/// All keys and values together; a table of contents has to be read in one piece.
const MAX_BYTES: usize = 16 << 20;
/// Well-known type 1: UTF-8 without a terminator.
const UTF8: u32 = 1;

/// Refuses what cannot be stored.
pub(super) fn check(entries: &[(String, String)]) -> Result<(), MediaError> {
    let refused = |key: &str, problem| {
        Err(MediaError::Metadata {
            key: key.chars().take(64).collect(),
            problem,
        })
    };
    let mut total = 0;
    for (i, (key, value)) in entries.iter().enumerate() {
        if key.is_empty() {
            return refused(key, "the key is empty, expected a name");
        }
        if key.contains('\0') || value.contains('\0') {
            return refused(
                key,
                "found a zero character, which the format uses as an end mark",
            );
        }
        if entries[..i].iter().any(|(other, _)| other == key) {
            return refused(key, "found twice, expected each key once");
        }
        total += key.len() + value.len() + 40;
        if total > MAX_BYTES {
            return refused(key, "keys and values exceed 16 MiB together; shorten them");
        }
    }
    Ok(())
}

/// The `meta` box of these entries.
pub(super) fn meta_box(entries: &[(String, String)]) -> Mp4Box {
    let mut handler = vec![0; 8];
    handler.extend_from_slice(b"mdta");
    handler.extend_from_slice(&[0; 13]);

    let mut keys = vec![0; 4];
    keys.extend_from_slice(&(entries.len() as u32).to_be_bytes());
    let mut values = Vec::new();
    for (number, (key, value)) in (1u32..).zip(entries) {
        Mp4Box::leaf(b"mdta", key.as_bytes().to_vec()).write(&mut keys);
        let mut data = UTF8.to_be_bytes().to_vec();
        data.extend_from_slice(&[0; 4]); // locale: any
        data.extend_from_slice(value.as_bytes());
        values.push(Mp4Box {
            name: number.to_be_bytes(),
            fields: Vec::new(),
            children: vec![Mp4Box::leaf(b"data", data)],
        });
    }
    Mp4Box {
        name: *b"meta",
        fields: vec![0; 4],
        children: vec![
            Mp4Box::leaf(b"hdlr", handler),
            Mp4Box::leaf(b"keys", keys),
            Mp4Box {
                name: *b"ilst",
                fields: Vec::new(),
                children: values,
            },
        ],
    }
}

/// The entries of a parsed `moov`, in their order; empty where it has none. The error says what
/// is wrong.
pub(super) fn read(moov: &Mp4Box) -> Result<Vec<(String, String)>, String> {
    let found = [moov.at(&[b"meta"]), moov.at(&[b"udta", b"meta"])]
        .into_iter()
        .flatten()
        .find(|meta| {
            meta.child(b"hdlr")
                .is_some_and(|h| h.fields.get(8..12) == Some(b"mdta"))
        });
    let Some(meta) = found else {
        return Ok(Vec::new());
    };
    let (Some(keys), Some(values)) = (meta.child(b"keys"), meta.child(b"ilst")) else {
        return Err("its metadata lacks 'keys' or 'ilst'".to_owned());
    };
    let names = split(
        keys.fields
            .get(8..)
            .ok_or("its metadata keys are cut short")?,
    )?;
    let mut entries = Vec::new();
    for (number, payload) in split(&values.fields)? {
        let number = u32::from_be_bytes(number);
        let (_, key) = usize::try_from(number)
            .ok()
            .and_then(|n| names.get(n.checked_sub(1)?))
            .ok_or_else(|| {
                format!(
                    "metadata value {number} has no key; there are {}",
                    names.len()
                )
            })?;
        let key =
            std::str::from_utf8(key).map_err(|_| format!("metadata key {number} is not UTF-8"))?;
        let Some((_, data)) = split(payload)?
            .into_iter()
            .find(|(name, _)| name == b"data")
        else {
            return Err(format!("metadata {key:?} has no value"));
        };
        // Other types (numbers, pictures) are other writers' and carry nothing of ours.
        if u32_at(data, 0) != Some(UTF8) {
            continue;
        }
        let text = data
            .get(8..)
            .and_then(|text| std::str::from_utf8(text).ok());
        let text = text.ok_or_else(|| format!("metadata {key:?} is not UTF-8"))?;
        entries.push((key.to_owned(), text.to_owned()));
    }
    Ok(entries)
}
