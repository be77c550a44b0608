//! One public [`Error`]; inside it a typed enum per module.

/// What went wrong, as one sentence that names what was found, what was expected and what to change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {}

/// The engine's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
