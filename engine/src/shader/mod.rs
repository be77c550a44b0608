//! The kernel library: WGSL text in, linked WGSL text out. No device.
//!
//! A kernel is one file of `shaders/`. What varies is a *slot*: a module name that the kernel
//! imports and that a [`Variant`] may exchange for another module. See `shaders/README.md`.

mod interface;
mod library;
mod linker;
mod variant;

pub use interface::{Access, BindingKind, Interface, ParamsField};
pub use library::Library;
pub use linker::Linked;
pub use variant::{Slot, Variant};
