//! Weights and latents on disk: memory-mapped files whose tensors are requested by name and shape.
//!
//! | type | what it is |
//! |---|---|
//! | [`Checkpoint`] | the weights of one model part: files, shards with an index, or bytes in memory |
//! | [`Container`] | the format of a file of tensors |
//! | [`Extent`] | how much of a file must be there |
//! | [`GgufHeader`] | the beginning of a GGUF file to write |
//! | [`GgufTokenizer`] | the tokenizer that a GGUF file carries |
//! | [`SafetensorsHeader`] | the beginning of a safetensors file to write |
//! | [`Overlay`] | tensors made in memory that extend or replace those of the files, and changes to stored ones ([`Merge`]) |
//! | [`Renamed`] | the model's name for a tensor that its file names differently |
//! | [`TensorView`] | one tensor's name, type, shape and bytes, borrowed from its checkpoint |
//! | [`Storage`] | a file's bytes: mapped, embedded or shared |
//! | [`Latents`] | a run's latents as `--save-latents` writes them |
//! | [`RunState`] | the state from which an unfinished run resumes |
//!
//! A file is never copied into memory: a checkpoint is a set of mapped pages and a table of names.

mod blank;
mod checkpoint;
mod container;
mod encode;
mod fingerprint;
mod index;
mod latents;
mod listing;
mod locate;
mod named;
mod nearest;
mod opening;
mod overlaid;
mod quantized;
mod renamed;
mod scaled;
mod state;
mod storage;
mod tensor_file;
mod view;
mod write;

pub use checkpoint::Checkpoint;
pub use container::{Container, Extent, GgufHeader, GgufTokenizer, GgufValue, SafetensorsHeader};
pub(crate) use encode::encode;
pub use fingerprint::{bytes_fingerprint, combined_fingerprint};
pub use latents::Latents;
pub use overlaid::{Change, LOW_RANK_DOWN, LOW_RANK_UP, Merge, Overlay};
pub use renamed::{Piece, Renamed};
pub use state::{Encoded, RunProgress, RunState, SolverState};
pub use storage::Storage;
pub use view::TensorView;
pub use write::{Step, Written};
