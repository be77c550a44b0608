//! Pictures and clips that a run starts from: files to pixels of the size that a model takes.
//!
//! ```text
//! PNG, JPEG, WebP ─ file ─► RGB, upright ─ fit (resample) ─► RGB of the clip's size ─► [-1, 1]
//!                                        └ clip_input ─► what CLIP sees
//! MP4, folder of pictures ─ clips ─► RGB frames, at a rate of choice
//! ```
//!
//! Colours are taken as sRGB, whatever profile a file names, as the reference does.

mod clip_input;
mod clips;
mod file;
mod fit;
mod resample;

pub use clip_input::{ClipView, clip_input};
pub use clips::{ClipFrames, ClipInfo, read_clip};
pub use file::{MAX_SIDE, MIN_SIDE, Picture, decode_picture, read_picture};
pub use fit::{Fit, best_size, floor_size, pixels};
pub use resample::{Filter, resample, stretch_plain};
