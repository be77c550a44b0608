//! Frames to files and back: what a video holds, what a player can rely on, and what is refused.
//!
//! No device. The checks read the files with Kinora's own reader, with the `mp4` crate, and with
//! ffprobe and ffmpeg where those are installed.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail as its tests do")]

#[path = "media/damage.rs"]
mod damage;
#[path = "media/files.rs"]
mod files;
#[path = "media/outputs.rs"]
mod outputs;
#[path = "media/pictures.rs"]
mod pictures;
#[path = "media/scenes.rs"]
mod scenes;
#[path = "media/tags.rs"]
mod tags;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use kinora::error::MediaError;
use kinora::media::{
    DEFAULT_QUALITY, Frame, FrameRate, VideoOptions, VideoSummary, VideoWriter, YuvPlanes,
    check_output, decode, frame_path, is_temporary, prepare_frame_folder, probe, read_metadata,
    stale_temporaries, write_png, write_png_with,
};

use scenes::*;
