//! Free keys and values inside a movie: `moov/meta` with the handler `mdta`.
//!
//! `keys` lists the names, `ilst` the values by number; ffprobe, exiftool and QuickTime show them.
//! Most programs that copy a video leave them out, hence the tags beside them. Source: QuickTime File Format, "Metadata"; there a value of type 1 is UTF-8.

use super::boxes::{Mp4Box, Name, split, u32_at};
use super::tags;
use crate::error::MediaError;

/// All keys and values together; a table of contents has to be read in one piece.
const MAX_BYTES: usize = 16 << 20;
/// Well-known type 1: UTF-8 without a terminator.
pub(super) const UTF8: u32 = 1;

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

/// The boxes that keep these entries in a `moov`; none for none.
pub(super) fn boxes(entries: &[(String, String)]) -> Vec<Mp4Box> {
    if entries.is_empty() {
        return Vec::new();
    }
    let mut all = entries.to_vec();
    if !entries.iter().any(|(key, _)| key == tags::PARAMETERS)
        && let Some(text) = tags::parameters(entries)
    {
        all.push((tags::PARAMETERS.to_owned(), text));
    }
    vec![tags::user_data(entries), meta_box(&all)]
}

/// The `hdlr` that says what a `meta` holds.
pub(super) fn handler(kind: &Name, manufacturer: &Name) -> Mp4Box {
    let fields = [&[0; 8], &kind[..], manufacturer, &[0; 9]].concat();
    Mp4Box::leaf(b"hdlr", fields)
}

/// The `data` of a value.
pub(super) fn text(value: &str) -> Mp4Box {
    let any_locale = [0; 4];
    let data = [&UTF8.to_be_bytes()[..], &any_locale, value.as_bytes()].concat();
    Mp4Box::leaf(b"data", data)
}

fn meta_box(entries: &[(String, String)]) -> Mp4Box {
    let mut keys = vec![0; 4];
    keys.extend_from_slice(&(entries.len() as u32).to_be_bytes());
    let mut values = Vec::new();
    for (number, (key, value)) in (1u32..).zip(entries) {
        Mp4Box::leaf(b"mdta", key.as_bytes().to_vec()).write(&mut keys);
        values.push(Mp4Box {
            name: number.to_be_bytes(),
            fields: Vec::new(),
            children: vec![text(value)],
        });
    }
    Mp4Box {
        name: *b"meta",
        fields: vec![0; 4],
        children: vec![
            handler(b"mdta", &[0; 4]),
            Mp4Box::leaf(b"keys", keys),
            Mp4Box {
                name: *b"ilst",
                fields: Vec::new(),
                children: values,
            },
        ],
    }
}

/// The entries of a parsed `moov`, in their order; empty where it has none. Where a program that
/// copied the video dropped the keys or added its own, they are those of the comment. The error
/// says what is wrong.
pub(super) fn read(moov: &Mp4Box) -> Result<Vec<(String, String)>, String> {
    let mut entries = keyed(moov)?;
    let at = |entries: &[(String, String)], wanted: &str| {
        entries.iter().position(|(key, _)| key == wanted)
    };
    // ffmpeg, told to keep keys, makes one of the comment and adds some of its own.
    let copied = at(&entries, "comment").and_then(|i| tags::from_json(&entries[i].1));
    let copied = copied.filter(|copied| at(copied, tags::VERSION).is_some());
    if copied.is_none() && at(&entries, tags::VERSION).is_some() {
        if let Some(i) = at(&entries, tags::PARAMETERS) {
            let found = entries.remove(i);
            if tags::parameters(&entries).as_ref() != Some(&found.1) {
                entries.insert(i, found);
            }
        }
        return Ok(entries);
    }
    Ok(copied
        .or_else(|| tags::from_comment(moov))
        .unwrap_or(entries))
}

/// The entries under keys.
fn keyed(moov: &Mp4Box) -> Result<Vec<(String, String)>, String> {
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
