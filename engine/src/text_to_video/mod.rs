//! Prompt in, frames out: the facade.

mod request;

pub use request::{Aspect, Note, Request, Settings, Size};
