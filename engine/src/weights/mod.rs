//! Weights and latents on disk: memory-mapped safetensors, asked for by name and shape.
//!
//! | type | what it is |
//! |---|---|
//! | [`Checkpoint`] | the weights of one model part: a file, shards with an index, or bytes in memory |
//! | [`TensorView`] | one tensor's name, type, shape and bytes, borrowed from its checkpoint |
//! | [`Storage`] | where a file's bytes lie: mapped, embedded or shared |
//! | [`Latents`] | a run's latents as `--save-latents` writes them |
//!
//! Nothing here copies a file into memory: a checkpoint is its mapped pages and a table of names.

mod blank;
mod checkpoint;
mod fingerprint;
mod header;
mod index;
mod latents;
mod locate;
mod nearest;
mod storage;
mod view;

pub use checkpoint::Checkpoint;
pub use fingerprint::combined_fingerprint;
pub use latents::Latents;
pub use storage::Storage;
pub use view::TensorView;
