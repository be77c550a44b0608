//! Values that have names: those of the engine's own tables, listed by `--help`.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

/// Takes one of the names in `all`; `about` is what `--help` says of a value, or empty.
pub(crate) fn named<T: Copy + Send + Sync + 'static>(
    all: &'static [(&'static str, T)],
    about: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    let listed = all.iter().map(move |&(name, value)| match about(value) {
        "" => PossibleValue::new(name),
        about => PossibleValue::new(name).help(about),
    });
    PossibleValuesParser::new(listed).try_map(|given| {
        let found = all.iter().find(|(name, _)| *name == given);
        found.map(|(_, value)| *value).ok_or("not one of the names")
    })
}
