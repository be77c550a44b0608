//! What goes wrong between frames and files.

use std::io;
use std::path::{Path, PathBuf};

/// Why a video or a picture could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MediaError {
    /// The output's name asks for a format that cannot be written.
    #[error("cannot write {}: MP4 is the only video format written, so the name has to end in .mp4, not in {found}", path.display())]
    Extension {
        /// The output asked for.
        path: PathBuf,
        /// The extension found, with its dot, or "no extension".
        found: String,
    },
    /// The folder the output should lie in does not exist.
    #[error("cannot write {}: the folder {} does not exist; create it or choose another", path.display(), folder.display())]
    FolderMissing {
        /// The output asked for.
        path: PathBuf,
        /// The folder that is missing.
        folder: PathBuf,
    },
    /// The folder the output should lie in is a file.
    #[error("cannot write {}: {} is a file, expected a folder", path.display(), folder.display())]
    NotAFolder {
        /// The output asked for.
        path: PathBuf,
        /// What was named as its folder.
        folder: PathBuf,
    },
    /// The folder refuses new files.
    #[error("cannot write {}: the folder {} does not accept new files ({source}); change its permissions or choose another", path.display(), folder.display())]
    FolderNotWritable {
        /// The output asked for.
        path: PathBuf,
        /// The folder that refuses.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A name that the file system does not take, mostly for its length.
    #[error("cannot write {}: its name has {} bytes, and the file system does not take it ({source}); choose a shorter one", path.display(), path.file_name().unwrap_or_default().len())]
    Name {
        /// The output asked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A picture was asked for, and there is more than one frame.
    #[error("cannot write {}: a picture holds one frame, and the clip has {frames}; ask for one frame, or for a name that ends in .mp4", path.display())]
    Still {
        /// The output asked for.
        path: PathBuf,
        /// Frames of the clip.
        frames: usize,
    },
    /// The name for latents is not one of their format.
    #[error("cannot write {}: latents are kept as safetensors, so the name has to end in .safetensors", path.display())]
    LatentsExtension {
        /// The output asked for.
        path: PathBuf,
    },
    /// The output's name belongs to a folder.
    #[error("cannot write {}: it is a folder, expected the name of a file", path.display())]
    IsFolder {
        /// The output asked for.
        path: PathBuf,
    },
    /// The output exists and overwriting was not asked for.
    #[error("cannot write {}: it exists already; choose another name, or let it be overwritten", path.display())]
    Exists {
        /// The output asked for.
        path: PathBuf,
    },
    /// No room on the disk.
    #[error("cannot write {}: the disk is full; free some space or write to another disk (nothing was left behind)", path.display())]
    DiskFull {
        /// The output being written.
        path: PathBuf,
    },
    /// Any other failure to write.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The output being written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file could not be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file being read.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A frame size that H.264 as written here cannot carry.
    #[error(
        "cannot encode frames of {width}x{height}: the video encoder takes 16x16 up to 3840x2160 (or 2160x3840)"
    )]
    FrameSize {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// A frame whose bytes do not fit its size.
    #[error("frame {frame}: found {found} bytes, expected {expected} for {width}x{height} pixels")]
    FrameLength {
        /// Number of the frame, from 0.
        frame: u64,
        /// Bytes handed over.
        found: usize,
        /// Bytes expected.
        expected: usize,
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// A frame of which only planes of YUV 4:2:0 were read back, and whose RGB is asked for.
    #[error("frame {frame}: its RGB is asked for, and the sink's layout says YUV 4:2:0")]
    Planes {
        /// Number of the frame, from 0.
        frame: usize,
    },
    /// A frame rate outside the range.
    #[error(
        "frame rate {found}: expected a rate above 0 and up to 240, such as 16, 23.976 or 24000/1001"
    )]
    FrameRate {
        /// The rate as it was given.
        found: String,
    },
    /// A quality outside the scale.
    #[error("quality {found}: expected 0 (smallest file) to 100 (best picture)")]
    Quality {
        /// The quality as it was given.
        found: u8,
    },
    /// A metadata entry that cannot be stored.
    #[error("metadata {key:?}: {problem}")]
    Metadata {
        /// The entry's key.
        key: String,
        /// What is wrong and what was expected.
        problem: &'static str,
    },
    /// A video of no frames.
    #[error("cannot write {}: a video needs at least one frame", path.display())]
    NoFrames {
        /// The output being written.
        path: PathBuf,
    },
    /// The H.264 encoder refused a frame.
    #[error("the video encoder failed at frame {frame}: {problem}")]
    Encoder {
        /// Number of the frame, from 0.
        frame: u64,
        /// What the encoder said.
        problem: String,
    },
    /// The container could not be assembled.
    #[error("cannot assemble {}: {problem}", path.display())]
    Container {
        /// The output being written.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The file is no MP4.
    #[error("{} is not an MP4 file: {found}", path.display())]
    NotMp4 {
        /// The file being read.
        path: PathBuf,
        /// What was found in place of an MP4's first box.
        found: String,
    },
    /// The file is shorter than its own table of contents says.
    #[error("{} is truncated: {problem}", path.display())]
    Truncated {
        /// The file being read.
        path: PathBuf,
        /// What ends too early.
        problem: String,
    },
    /// The file contradicts itself.
    #[error("{} is damaged: {problem}", path.display())]
    Corrupt {
        /// The file being read.
        path: PathBuf,
        /// What is wrong and what was expected.
        problem: String,
    },
    /// An intact file in a format that is not read here.
    #[error("{} cannot be decoded: found {found}, expected 8-bit 4:2:0 H.264 in an avc1 track", path.display())]
    Unsupported {
        /// The file being read.
        path: PathBuf,
        /// What was found.
        found: String,
    },
    /// The H.264 decoder refused a frame.
    #[error("{}: the video decoder failed at frame {frame}: {problem}", path.display())]
    Decoder {
        /// The file being read.
        path: PathBuf,
        /// Number of the frame, from 0.
        frame: u64,
        /// What the decoder said.
        problem: String,
    },
}

impl MediaError {
    /// The error for a failed write to `path`; a full disk or quota is told apart.
    pub(crate) fn writing(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            io::ErrorKind::AlreadyExists => Self::Exists { path },
            _ => Self::Write { path, source },
        }
    }

    /// The error for a failed read of `path`.
    pub(crate) fn reading(path: &Path, source: io::Error) -> Self {
        Self::Read {
            path: path.to_owned(),
            source,
        }
    }
}
