//! Kinora: a prompt becomes a video on any vendor's GPU.
//!
//! An [`Engine`] is a device and a model. It prepares a [`Request`] into a [`Job`], which says what it
//! takes ([`Job::plan`]), can be resumed, and runs into a [`Sink`]: an MP4, pictures, or a closure
//! that takes frames. Everything blocks, on the caller's thread; a [`Cancel`] stops it from another.
//!
//! ```no_run
//! use kinora::{Cancel, Engine, Event, Gpu, GpuOptions, ModelFolder, Mp4Sink, OnThread, Request};
//!
//! fn main() -> kinora::Result<()> {
//!     let gpu = Gpu::open(&GpuOptions::default())?; // or Gpu::from_device, the application's own
//!     let engine = Engine::new(gpu, ModelFolder::open("Wan2.1-T2V-1.3B-Diffusers")?)?;
//!     let mut request = Request::new("a red kite glides over a quiet harbour at dawn");
//!     request.seed = Some(7);
//!     let mut job = engine.prepare(&request)?;
//!     println!("{}", job.plan());
//!     let mut sink = OnThread::new(Mp4Sink::new("kite.mp4", job.video()?)?);
//!     let mut observer = |event| {
//!         if let Event::Progress { stage, done, total } = event {
//!             println!("{stage}: {done} of {total}");
//!         }
//!     };
//!     job.run(&mut sink, &mut observer, &Cancel::new())?;
//!     Ok(())
//! }
//! ```
//!
//! | | |
//! |---|---|
//! | what to make | [`ModelFolder`], [`Decoder`], [`Request`], [`Size`] |
//! | with what | [`Gpu`], [`GpuOptions`], [`Engine`] |
//! | making it | [`Job`], [`Event`], [`Stage`], [`Part`], [`Cancel`], [`Error`], [`ErrorKind`] |
//! | what comes out | [`Sink`], [`Mp4Sink`], [`OnThread`], [`Clip`] |
//! | after a break | [`Keep`], [`SavedRun`] |
//!
//! Semantic versioning holds for what stands here. [`low_level`] has the parts that it is made of,
//! kernels and recordings among them; they change as the engine does.

#[doc(hidden)]
pub mod bench;
mod cancel;
mod counts;
#[doc(hidden)]
pub mod error;
#[doc(hidden)]
pub mod gpu;
#[doc(hidden)]
pub mod job;
#[doc(hidden)]
pub mod media;
#[doc(hidden)]
pub mod model_files;
#[doc(hidden)]
pub mod models;
#[doc(hidden)]
pub mod nn;
mod numbers;
#[doc(hidden)]
pub mod ops;
mod panics;
mod part;
#[doc(hidden)]
pub mod pictures;
#[doc(hidden)]
pub mod pipeline;
#[doc(hidden)]
pub mod record;
#[doc(hidden)]
pub mod request;
#[doc(hidden)]
pub mod sampling;
#[doc(hidden)]
pub mod shader;
mod staged;
#[doc(hidden)]
pub mod tensor;
#[doc(hidden)]
pub mod text;
#[doc(hidden)]
pub mod weights;

/// What the engine is made of. Semantic versioning does not hold here.
pub mod low_level {
    #[doc(inline)]
    pub use crate::{
        bench, error, gpu, job, media, model_files, models, nn, ops, pictures, pipeline, record,
        request, sampling, shader, tensor, text, weights,
    };
}

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

/// Engines and jobs go to other threads, and engines are shared by them.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    const fn sent<T: Send>() {}
    shared::<Engine>();
    shared::<Cancel>();
    shared::<Error>();
    sent::<Job>();
    sent::<Event>();
    sent::<OnThread<Mp4Sink>>();
};
