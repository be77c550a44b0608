//! Frames as pictures, for people who go on in other programs.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use png::{
    BitDepth, ColorType, Decoder, DecodingError, Encoder, EncodingError, Reader,
    SrgbRenderingIntent,
};

use super::output::{Staged, check_place};
use super::tags;
use crate::error::MediaError;

/// Writes one frame, [height, width, 3] bytes, as an 8-bit sRGB PNG. The file appears under its
/// name when it is whole.
///
/// # Errors
/// [`MediaError::FrameLength`] where `rgb` does not fit the size, [`MediaError::FrameSize`] where a
/// side is 0, and what [`check_place`](super::check_place) finds, a full disk, or another failure
/// to write.
pub fn write_png(
    path: &Path,
    width: u32,
    height: u32,
    rgb: &[u8],
    overwrite: bool,
) -> Result<(), MediaError> {
    let size = [width as usize, height as usize];
    write_png_with(path, size, rgb, &[], overwrite)
}

/// As [`write_png`], with metadata in the places where programs look for a picture's: `Comment`
/// holds all entries as one JSON object, `parameters` the settings as the web UI of Stable Diffusion
/// writes them.
///
/// # Errors
/// As [`write_png`].
pub fn write_png_with(
    path: &Path,
    [width, height]: [usize; 2],
    rgb: &[u8],
    entries: &[(String, String)],
    overwrite: bool,
) -> Result<(), MediaError> {
    let expected = width * height * 3;
    let [width, height] = [width, height].map(|side| u32::try_from(side).unwrap_or(u32::MAX));
    if width == 0 || height == 0 {
        return Err(MediaError::FrameSize { width, height });
    }
    if rgb.len() != expected {
        return Err(MediaError::FrameLength {
            frame: 0,
            found: rgb.len(),
            expected,
            width,
            height,
        });
    }
    if overwrite {
        crate::staged::sweep(path);
    }
    let mut staged = Staged::create(path, overwrite)?;
    let failed = |e: EncodingError| match e {
        EncodingError::IoError(e) => MediaError::writing(path, e),
        other => MediaError::Container {
            path: path.to_owned(),
            problem: other.to_string(),
        },
    };
    let mut out = BufWriter::new(staged.file());
    let mut encoder = Encoder::new(&mut out, width, height);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_source_srgb(SrgbRenderingIntent::Perceptual);
    for (keyword, text) in tags::of_picture(entries) {
        encoder
            .add_itxt_chunk(keyword.to_owned(), text)
            .map_err(failed)?;
    }
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(rgb).map_err(failed)?;
    writer.finish().map_err(failed)?;
    out.flush().map_err(|e| MediaError::writing(path, e))?;
    drop(out);
    staged.commit()
}

/// The entries in a PNG that [`write_png_with`] wrote; empty where it has none.
pub(super) fn read_png_metadata(path: &Path) -> Result<Vec<(String, String)>, MediaError> {
    let reader = open(path)?;
    let texts = reader.info().utf8_text.iter();
    let mut comments = texts.filter(|text| text.keyword == tags::PICTURE_COMMENT);
    let entries = comments.find_map(|text| tags::from_json(&text.get_text().ok()?));
    Ok(entries.unwrap_or_default())
}

/// Width and height of a PNG.
pub(super) fn png_size(path: &Path) -> Result<[u32; 2], MediaError> {
    Ok(open(path)?.info().size().into())
}

/// A PNG, read up to its pixels.
fn open(path: &Path) -> Result<Reader<BufReader<File>>, MediaError> {
    let corrupt = |e: DecodingError| match e {
        DecodingError::IoError(e) => MediaError::reading(path, e),
        other => MediaError::Corrupt {
            path: path.to_owned(),
            problem: other.to_string(),
        },
    };
    let file = File::open(path).map_err(|e| MediaError::reading(path, e))?;
    Decoder::new(BufReader::new(file))
        .read_info()
        .map_err(corrupt)
}

/// Whether a file is a PNG, by its first bytes.
pub(super) fn is_png(path: &Path) -> bool {
    let mut first = [0; 16];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut first));
    read.is_ok() && first == *b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
}

/// The path of frame number `index` (from 0) in `folder`: `00000.png`, `00001.png`, …
pub fn frame_path(folder: &Path, index: usize) -> PathBuf {
    folder.join(format!("{index:05}.png"))
}

/// Makes `folder` ready for frames: creates it where it is missing, and refuses one that holds a
/// first frame already unless `overwrite`.
///
/// # Errors
/// As [`check_place`](super::check_place).
pub fn prepare_frame_folder(folder: &Path, overwrite: bool) -> Result<(), MediaError> {
    fs::create_dir_all(folder).map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists | std::io::ErrorKind::NotADirectory => {
            MediaError::NotAFolder {
                path: frame_path(folder, 0),
                folder: folder.to_owned(),
            }
        }
        _ => MediaError::writing(folder, e),
    })?;
    super::check_place(&frame_path(folder, 0), overwrite)
}

/// Checks, before any work, that frames can be written into a folder, which need not exist yet and is
/// not made here.
///
/// # Errors
/// As [`check_place`](super::check_place), for the first frame.
pub fn check_frame_folder(folder: &Path, overwrite: bool) -> Result<(), MediaError> {
    let first = frame_path(folder, 0);
    if folder.exists() {
        return check_place(&first, overwrite);
    }
    let above = folder
        .ancestors()
        .skip(1)
        .find(|above| above.as_os_str().is_empty() || above.exists());
    match above {
        Some(above) => check_place(&above.join(".kinora-frames"), true),
        None => Ok(()),
    }
}

#[cfg(test)]
mod frame_folder_tests {
    use super::*;

    #[test]
    fn frames_go_into_a_folder_that_need_not_exist() {
        let folder = tempfile::tempdir().unwrap();
        let new = folder.path().join("a/b");
        check_frame_folder(&new, false).unwrap();
        assert!(!folder.path().join("a").exists());
        std::fs::create_dir_all(&new).unwrap();
        std::fs::write(new.join("00000.png"), "").unwrap();
        assert!(matches!(
            check_frame_folder(&new, false),
            Err(MediaError::Exists { .. })
        ));
        check_frame_folder(&new, true).unwrap();
        assert!(check_frame_folder(&new.join("00000.png/x"), true).is_err());
    }
}
