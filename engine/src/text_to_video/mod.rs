//! Prompt in, frames out: the facade.
//!
//! ```no_run
//! use kinora::gpu::{Cancel, Gpu, GpuOptions};
//! use kinora::model_files::ModelFolder;
//! use kinora::text_to_video::{Engine, Event, Request};
//!
//! let gpu = Gpu::open(&GpuOptions::default())?;
//! let engine = Engine::new(gpu, ModelFolder::open("Wan2.1-T2V-1.3B-Diffusers")?)?;
//! let request = Request { seed: Some(7), ..Request::new("a red kite over a quiet harbour at dawn") };
//! let clip = engine.generate(&request, &Cancel::new(), &mut |event| {
//!     if let Event::Progress { stage, done, total } = event {
//!         println!("{stage}: {done} of {total}");
//!     }
//! })?;
//! println!("{} frames of {}x{}", clip.frames.len(), clip.width, clip.height);
//! # Ok::<(), kinora::Error>(())
//! ```

mod ahead;
mod decoder;
mod engine;
mod memory;
mod metadata;
mod preview;
mod request;
mod retry;
mod sample;
mod solver;

pub use decoder::Decoder;
pub use engine::{Clip, Engine, Event, FrameSink, Stage};
pub use memory::{MemoryPlan, PartPlan, Planned, bytes_for_people};
pub use preview::Preview;
pub use request::{Aspect, Note, Request, Settings, Size};
pub use retry::MemoryTaken;
