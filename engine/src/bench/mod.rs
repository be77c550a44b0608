//! Named benches of the kernels at the models' own shapes, beside what the device can do at most.
//!
//! One list, [`cases`], serves criterion (`cargo bench`) and the command `kinora bench`. Listing
//! touches no device. A case knows its work in floating-point operations or in bytes, so that its
//! time is a rate, and the rate a share of the [`Ceilings`] that were measured on the same device
//! in the same run.

mod cases;
mod measure;
mod prepared;
mod problem;
mod step;
mod table;

pub use cases::{Case, cases, select};
pub use measure::{Bench, Ceilings, Measured};
pub use prepared::Prepared;
pub use problem::{Problem, Work};
pub use step::Step;
pub use table::{head, listed, object, row};
