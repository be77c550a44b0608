//! Checks of SentencePiece's character maps, made before the tokenizers library reads one.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::Value;

/// The field of a `tokenizer.json` that has one.
const FIELD: &str = "precompiled_charsmap";

/// The normalizer of a `tokenizer.json` that applies `map`.
pub(super) fn normalizer(map: &[u8]) -> Result<Value, String> {
    check(map)?;
    let text = BASE64_STANDARD.encode(map);
    Ok(serde_json::json!({ "type": "Precompiled", FIELD: text }))
}

/// Refuses a `tokenizer.json` with a map that [`check`] refuses.
///
/// # Errors
/// A sentence that says what is wrong with the map or with the JSON.
pub(super) fn check_json(json: &[u8]) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(expecting = "the fields of a tokenizer")]
    struct File {
        normalizer: Option<Value>,
    }
    let file: File = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    file.normalizer.as_ref().map_or(Ok(()), check_all)
}

/// Every map of a normalizer, which may be a list of others.
fn check_all(value: &Value) -> Result<(), String> {
    match value {
        Value::Array(items) => items.iter().try_for_each(check_all),
        Value::Object(fields) => fields.iter().try_for_each(|(name, value)| match value {
            Value::String(text) if name == FIELD => {
                let map = BASE64_STANDARD.decode(text);
                check(&map.map_err(|error| format!("its map of characters: {error}"))?)
            }
            value => check_all(value),
        }),
        _ => Ok(()),
    }
}

/// Checks the size of the trie, with which a character map begins: the tokenizers library allocates
/// that much before it checks that the map is that long.
fn check(map: &[u8]) -> Result<(), String> {
    match map.split_first_chunk::<4>() {
        Some((size, rest)) if u32::from_le_bytes(*size) as usize <= rest.len() => Ok(()),
        _ => Err("its map of characters is cut off".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_that_is_cut_off_is_refused_wherever_it_stands() {
        let file = |map: &str| {
            let own = serde_json::json!({ "type": "Precompiled", FIELD: map });
            let inner = serde_json::json!({ "type": "Sequence", "normalizers": [own] });
            let outer = serde_json::json!({ "type": "Sequence", "normalizers": [inner] });
            check_json(
                serde_json::json!({ "normalizer": outer })
                    .to_string()
                    .as_bytes(),
            )
        };
        // A trie of four bytes, and one of 4 GB.
        assert_eq!(file("BAAAAAEAAAA="), Ok(()));
        assert!(file("/////wEAAAA=").is_err_and(|e| e.contains("cut off")));
        assert!(file("BAAAAA").is_err());
        assert!(file("").is_err());
        assert_eq!(check_json(br#"{"normalizer": null}"#), Ok(()));
        assert_eq!(check_json(b"{}"), Ok(()));
        assert!(check_json(b"{").is_err());
        assert!(normalizer(&[4, 0, 0, 0, 1]).is_err());
        let made = normalizer(&[4, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(
            made.map(|made| made[FIELD].clone()),
            Ok("BAAAAAEAAAA=".into())
        );
    }
}
