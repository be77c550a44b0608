//! Frames to video files, and back.
//!
//! ```text
//! RGB frame ─ color ─► planes ─ encoder ─► access unit ─ mux, movie ─► MP4     VideoWriter
//!                                              └─ level: what a player must be able to do
//! MP4 ─ boxes ─► tables, metadata ─ sample_table ─► access unit ─► RGB     probe, read_metadata, decode
//! ```
//!
//! H.264 High by openh264, because it is the format that every browser, phone and editor plays;
//! the container is written so that playing starts before the whole file is there, and carries
//! what made the clip. Files appear under their names when they are whole, and never before.

mod boxes;
mod color;
mod encoder;
mod frame_rate;
mod level;
mod matrix;
mod metadata;
mod movie;
mod mux;
mod output;
mod png;
mod reader;
mod sample_table;
mod sps;
mod tags;
mod turn;
mod writer;

pub use color::YuvPlanes;
pub use encoder::DEFAULT_QUALITY;
pub use frame_rate::FrameRate;
pub use level::Level;
pub use output::{check_name, check_output, check_place, is_temporary, stale_temporaries};
pub use png::{check_frame_folder, frame_path, prepare_frame_folder, write_png, write_png_with};
pub use reader::{Frame, Frames, VideoInfo, decode, describe, probe, quarter_turns, read_metadata};
pub use writer::{VideoOptions, VideoSummary, VideoWriter};
