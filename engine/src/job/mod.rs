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
//! | `lock` | one run at a time for each state |
//! | `metadata` | what made a clip, as text |
//! | `names` | names of clips |
//! | `outputs` | the files of a clip: named, checked and locked before any work |
//! | `series` | the clips of one command, which differ in their seeds |
//! | `sink` | where frames go |

mod decoding;
mod device;
mod engine;
mod keeper;
mod lock;
mod metadata;
mod names;
mod outputs;
mod saved;
mod series;
mod sink;
mod task;

pub use decoding::Decoding;
pub use device::MemoryTaken;
pub use engine::{Clip, Engine, usual_budget};
pub use keeper::Keep;
pub use lock::RunLock;
pub use metadata::{Metadata, Wrong};
pub use names::{name_of_latents, name_of_prompt, name_with_seed};
pub use outputs::{Outputs, Target, TargetSink, is_folder};
pub use saved::{SavedRun, state_path};
pub use series::{Entries, Series, SeriesClip};
pub use sink::{
    Both, ClipInfo, ClipSink, Frame, Layout, Mp4Sink, OnThread, PngSink, Sink, StillSink, Yuv420,
};
pub use task::{Job, Summary};
