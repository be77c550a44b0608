//! A run as a value: prepared once, then planned, resumed, run and described.
//!
//! | file | what it holds |
//! |---|---|
//! | `engine` | a device and a model: prepares jobs |
//! | `job` | one clip to be made: samples, decodes, retries |
//! | `decoding` | latents to frames, as a half of a job or by itself |
//! | `device` | the device that runs share, which may be reopened or given less memory |
//! | `saved` | runs on the disk, and which job each belongs to |
//! | `keeper` | writing a job's state while it runs |
//! | `metadata` | what made a clip, as text |
//! | `names` | names of clips |
//! | `sink` | where frames go |

mod decoding;
mod device;
mod engine;
mod keeper;
mod metadata;
mod names;
mod saved;
mod sink;
mod task;

pub use decoding::Decoding;
pub use device::MemoryTaken;
pub use engine::{Clip, Engine, usual_budget};
pub use keeper::Keep;
pub use metadata::{Metadata, Wrong};
pub use names::{free_name, name_of_latents, name_of_prompt, name_with_seed};
pub use saved::{SavedRun, state_path};
pub use sink::{Both, ClipInfo, Frame, Mp4Sink, OnThread, PngSink, Sink};
pub use task::{Job, Summary};
