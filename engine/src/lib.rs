//! Kinora: a prompt becomes a video on any vendor's GPU.

pub mod bench;
mod cancel;
mod counts;
pub mod error;
pub mod gpu;
pub mod job;
pub mod media;
pub mod model_files;
pub mod models;
pub mod nn;
pub mod ops;
mod panics;
mod part;
pub mod pictures;
pub mod pipeline;
pub mod record;
pub mod request;
pub mod sampling;
pub mod shader;
mod staged;
pub mod tensor;
pub mod text;
pub mod weights;

pub use cancel::Cancel;
#[cfg(feature = "testing")]
pub use counts::{Counted, take_counts};
pub use error::{Error, ErrorKind, Result};
pub use gpu::{Gpu, GpuOptions};
pub use job::{Clip, Engine, Job, Keep, Mp4Sink, OnThread, SavedRun, Sink};
pub use model_files::ModelFolder;
pub use panics::keep_caught_panics_quiet;
pub use part::Part;
pub use pipeline::{Decoder, Event, Stage};
pub use request::{Request, Size};
