//! How a family of models turns a request into frames: its parts, their turns on the device, and
//! the loop that denoises.
//!
//! | file | what it holds |
//! |---|---|
//! | `part` | how a part runs on the device and how much memory that takes |
//! | `event` | events that a run reports to its observer |
//! | `model` | an opened model: files, configuration, tokenizer, hashes, each read once |
//! | `family` | what differs between families: parts, sizes of latents, program of a run |
//! | `conditioning` | the denoiser's inputs other than the latents and the time |
//! | `text`, `image`, `encoder`, `transformer`, `decoder` | the components: choices within a budget, recordings, loading |
//! | `frames` | the frames that the encoder is given |
//! | `denoiser` | a loaded transformer with a run's conditioning |
//! | `prepared` | everything decided about a run before it runs |
//! | `memory` | which choice each part gets within a budget |
//! | `denoise` | the loop over steps; `solver` is its state on the device |
//! | `decode` | latents to frames; `picture` is one of them, on the device |
//! | `remaining` | the time left of a stage |
//! | `preview` | latents to small pictures, without a device |

mod conditioning;
mod decode;
mod decoder;
mod denoise;
mod denoiser;
mod encoder;
mod event;
mod family;
mod frames;
mod image;
mod memory;
mod model;
mod part;
mod picture;
mod prepared;
mod preview;
mod remaining;
mod solver;
mod text;
mod transformer;

pub use crate::ops::picture::Planes;
pub use conditioning::Conditioning;
pub(crate) use decode::{Decode, decode};
pub use decoder::{Decoder, DecoderName};
pub(crate) use decoder::{DecoderComponent, check_latents};
pub(crate) use denoise::{Start, denoise};
pub use event::{Event, Observer, Stage};
pub use family::{Family, LatentSpec, Modality, Program, Turn};
pub use memory::MemoryPlan;
pub use model::Model;
pub use part::PartPlan;
pub use picture::Picture;
pub(crate) use prepared::Budgets;
pub use prepared::{Prepared, Prompts};
pub use preview::Preview;
pub use remaining::Remaining;
