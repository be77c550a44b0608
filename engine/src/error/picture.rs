//! What goes wrong with pictures that a clip is to start from.

use std::io;
use std::path::PathBuf;

/// Why a picture, or a folder of pictures, could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PictureError {
    /// A file that could not be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A folder, a pipe or a device where a picture is wanted.
    #[error("{} is {found}, expected a file with a picture", path.display())]
    NotAFile {
        /// What was named.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// A file that is no picture.
    #[error("{} is not a picture: it begins with {found}, expected a PNG, a JPEG or a WebP", path.display())]
    NotAPicture {
        /// The file.
        path: PathBuf,
        /// Its first bytes, or that it has none.
        found: String,
    },
    /// A file longer than any picture that is read.
    #[error("{} has {found} bytes, expected at most {limit}; save the picture again", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its bytes.
        found: u64,
        /// How many there may be.
        limit: u64,
    },
    /// A picture of a kind that is not read here.
    #[error("{} is {found}, expected {expected}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: &'static str,
        /// What is read, and how to get it.
        expected: &'static str,
    },
    /// Too few or too many pixels.
    #[error("{} has {width}x{height} pixels, expected {expected}; resize it", path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
        /// How many there may be.
        expected: String,
    },
    /// A picture that cannot be decoded.
    #[error("{} is damaged or cut short: {problem}; save the picture again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        problem: String,
    },
    /// A video of a codec or a container that is not read here.
    #[error(
        "{} is {found}, expected an MP4 with 8-bit 4:2:0 H.264; convert it, for example with `ffmpeg -i IN -c:v libx264 -pix_fmt yuv420p OUT.mp4`", path.display()
    )]
    Codec {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: String,
    },
    /// A folder without pictures.
    #[error("{} holds no pictures, expected PNG, JPEG or WebP files, one a frame", path.display())]
    NoPictures {
        /// The folder.
        path: PathBuf,
    },
    /// Pictures of several sizes in one folder.
    #[error(
        "{} has {found} pixels and {} before it {expected}; the pictures of a clip have one size", path.display(), first.display()
    )]
    Sizes {
        /// The picture that differs.
        path: PathBuf,
        /// Its size.
        found: String,
        /// The first picture.
        first: PathBuf,
        /// Its size.
        expected: String,
    },
    /// A clip that changed while it was read, since another program is writing it.
    #[error("{} changed while it was read; wait until it is whole, and try again", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
}
