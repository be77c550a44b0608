//! Weights and latents on disk: memory-mapped files, asked for by name and shape.
//!
//! | type | what it is |
//! |---|---|
//! | [`Checkpoint`] | the weights of one model part: files, shards with an index, or bytes in memory |
//! | [`Container`] | how a file holds its tensors |
//! | [`Extent`] | how much of a file must be there |
//! | [`GgufHeader`] | the beginning of a GGUF file that is to be written |
//! | [`GgufTokenizer`] | the tokenizer that a GGUF file carries |
//! | [`SafetensorsHeader`] | the beginning of a safetensors file that is to be written |
//! | [`Overlay`] | tensors made in memory, beside those of the files or in their place; what is made of stored ones ([`Merge`]) |
//! | [`Renamed`] | what the model calls a tensor that its file calls otherwise |
//! | [`TensorView`] | one tensor's name, type, shape and bytes, borrowed from its checkpoint |
//! | [`Storage`] | where a file's bytes lie: mapped, embedded or shared |
//! | [`Latents`] | a run's latents as `--save-latents` writes them |
//! | [`RunState`] | a run that is not done: what it goes on from |
//!
//! Nothing here copies a file into memory: a checkpoint is its mapped pages and a table of names.

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
