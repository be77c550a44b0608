//! The fields of a JSON object, each checked where it is read.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use crate::error::{ConfigError, mistaken};

/// How much of a wrong value an error shows, in characters.
const SHOWN: usize = 80;

/// A configuration file's fields. Errors name the file and the field.
pub(crate) struct Fields<'a> {
    file: &'a str,
    map: Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// Reads the JSON object in `text`; `file` is its name for messages.
    pub(crate) fn parse(file: &'a str, text: &[u8]) -> Result<Self, ConfigError> {
        // Editors on Windows put a byte-order mark before UTF-8.
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        match serde_json::from_slice(text) {
            Ok(map) => Ok(Self { file, map }),
            Err(error) => Err(ConfigError::Json {
                file: file.to_owned(),
                reason: match mistaken(text) {
                    Some(found) => format!("it is {found}"),
                    None => error.to_string(),
                },
            }),
        }
    }

    /// The field, unless it is absent.
    pub(crate) fn get(&self, field: &str) -> Option<&Value> {
        self.map.get(field)
    }

    /// The field, unless it is absent or null.
    pub(crate) fn given(&self, field: &str) -> Option<&Value> {
        self.map.get(field).filter(|value| !value.is_null())
    }

    /// A whole number in `range`, or `default` where the field is absent.
    pub(crate) fn count(
        &self,
        field: &str,
        default: Option<usize>,
        range: RangeInclusive<usize>,
    ) -> Result<usize, ConfigError> {
        match self.map.get(field) {
            None => default.ok_or_else(|| self.absent(field)),
            Some(value) => whole(value)
                .filter(|count| range.contains(count))
                .ok_or_else(|| self.wrong(field, &count_range(&range))),
        }
    }

    /// A list of whole numbers in `range`, or `default` where the field is absent.
    pub(crate) fn counts(
        &self,
        field: &str,
        default: &[usize],
        range: RangeInclusive<usize>,
    ) -> Result<Vec<usize>, ConfigError> {
        let expected = || format!("a list, each {}", count_range(&range));
        self.list(field, default, expected, |value| {
            whole(value).filter(|count| range.contains(count))
        })
    }

    /// A number in `range`, or `default` where the field is absent.
    pub(crate) fn real(
        &self,
        field: &str,
        default: f64,
        range: RangeInclusive<f64>,
    ) -> Result<f64, ConfigError> {
        match self.map.get(field) {
            None => Ok(default),
            Some(value) => value
                .as_f64()
                .filter(|real| range.contains(real))
                .ok_or_else(|| {
                    let expected = format!("a number from {} to {}", range.start(), range.end());
                    self.wrong(field, &expected)
                }),
        }
    }

    /// A list of numbers in `range`, or `default` where the field is absent.
    pub(crate) fn reals(
        &self,
        field: &str,
        default: &[f64],
        range: RangeInclusive<f64>,
    ) -> Result<Vec<f64>, ConfigError> {
        let expected = || {
            format!(
                "a list, each a number from {} to {}",
                range.start(),
                range.end()
            )
        };
        self.list(field, default, expected, |value| {
            value.as_f64().filter(|real| range.contains(real))
        })
    }

    /// True or false, or `default` where the field is absent.
    pub(crate) fn flag(&self, field: &str, default: bool) -> Result<bool, ConfigError> {
        match self.map.get(field) {
            None => Ok(default),
            Some(value) => value
                .as_bool()
                .ok_or_else(|| self.wrong(field, "true or false")),
        }
    }

    /// A list of true and false, or `default` where the field is absent.
    pub(crate) fn flags(&self, field: &str, default: &[bool]) -> Result<Vec<bool>, ConfigError> {
        self.list(
            field,
            default,
            || "a list of true and false".to_owned(),
            Value::as_bool,
        )
    }

    /// Text, if the field is neither absent nor null.
    pub(crate) fn text(&self, field: &str) -> Result<Option<&str>, ConfigError> {
        let value = self.given(field);
        value
            .map(|value| value.as_str().ok_or_else(|| self.wrong(field, "a string")))
            .transpose()
    }

    /// The class that `field` names, which must be one of `known`.
    pub(crate) fn class(&self, field: &str, known: &[&str]) -> Result<&str, ConfigError> {
        match self.text(field)? {
            None => Err(self.absent(field)),
            Some(class) if known.contains(&class) => Ok(class),
            Some(_) => Err(self.class_error(field, known)),
        }
    }

    /// An error that lists the classes `field` may name.
    pub(crate) fn class_error(&self, field: &str, known: &[&str]) -> ConfigError {
        ConfigError::Class {
            file: self.file.to_owned(),
            field: field.to_owned(),
            found: self.shown(field),
            known: match known.split_last() {
                Some((last, [])) => (*last).to_owned(),
                Some((last, first)) => format!("{} and {last}", first.join(", ")),
                None => String::new(),
            },
        }
    }

    /// An error that states the expected value of `field`.
    pub(crate) fn wrong(&self, field: &str, expected: &str) -> ConfigError {
        ConfigError::Field {
            file: self.file.to_owned(),
            field: field.to_owned(),
            found: self.shown(field),
            expected: expected.to_owned(),
        }
    }

    /// Refuses a field that is not one of `known`.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), ConfigError> {
        match self
            .map
            .keys()
            .find(|field| !known.contains(&field.as_str()))
        {
            None => Ok(()),
            Some(field) => Err(ConfigError::UnknownField {
                file: self.file.to_owned(),
                field: format!("{:?}", head(field)),
                known: known.join(", "),
            }),
        }
    }

    fn list<T: Clone>(
        &self,
        field: &str,
        default: &[T],
        expected: impl Fn() -> String,
        item: impl Fn(&Value) -> Option<T>,
    ) -> Result<Vec<T>, ConfigError> {
        match self.map.get(field) {
            None => Ok(default.to_vec()),
            Some(value) => value
                .as_array()
                .and_then(|items| items.iter().map(item).collect())
                .ok_or_else(|| self.wrong(field, &expected())),
        }
    }

    fn absent(&self, field: &str) -> ConfigError {
        ConfigError::NoField {
            file: self.file.to_owned(),
            field: field.to_owned(),
        }
    }

    /// The field's value as JSON, cut where it is long.
    fn shown(&self, field: &str) -> String {
        match self.map.get(field) {
            None => "absent".to_owned(),
            Some(value) => head(&value.to_string()),
        }
    }
}

fn head(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
    }
}

/// A whole number: `2`, not `2.0`, at which the reference too would fail.
fn whole(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|count| usize::try_from(count).ok())
}

fn count_range(range: &RangeInclusive<usize>) -> String {
    format!("a whole number from {} to {}", range.start(), range.end())
}
