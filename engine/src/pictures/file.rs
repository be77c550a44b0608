//! A picture's file to 8-bit RGB, the right way up.
//!
//! Nothing that a file says is believed before it is checked: sides and bytes have limits, so that a
//! hostile file costs an error.

use std::fs::{self, File};
use std::io::{Cursor, Read};
use std::path::Path;

use image::codecs::jpeg::JpegDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, Limits};
use sha2::{Digest, Sha256};

use crate::error::PictureError;

/// Pixels along a side, at least: fewer are a mistake, not a picture.
pub const MIN_SIDE: u32 = 16;

/// Pixels along a side, at most.
pub const MAX_SIDE: u32 = 16_384;

/// Pixels of a picture, at most: cameras of today stop at about 200 million, few above 100.
const MAX_PIXELS: u64 = 134_217_728;

/// Bytes that a decoder may take for a picture.
const MAX_DECODED: u64 = 2 << 30;

/// Bytes of a file.
const MAX_FILE: u64 = 512 << 20;

/// A picture, 8 bits a colour, the right way up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// RGB, [height, width, 3].
    pub rgb: Vec<u8>,
}

/// The picture in a file, and the SHA-256 of the file, in hexadecimal.
///
/// Transparent pixels are laid on white, grey becomes RGB, 16 bits are rounded to 8, and EXIF's
/// orientation is applied.
///
/// # Errors
/// A [`PictureError`]: what is no file or no picture, animations, CMYK, sides beyond
/// [`MIN_SIDE`] and [`MAX_SIDE`], damage.
pub fn read_picture(path: &Path) -> Result<(Picture, String), PictureError> {
    let bytes = read(path)?;
    let hash = Sha256::digest(&bytes);
    let hash = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((decode_picture(path, &bytes)?, hash))
}

/// What a path is, if not a file.
pub(super) fn not_a_file(found: &fs::Metadata) -> Option<&'static str> {
    match found {
        found if found.is_file() => None,
        found if found.is_dir() => Some("a folder"),
        _ => Some("a pipe or a device"),
    }
}

/// All bytes of a regular file. A pipe is not opened, which would wait for someone to write.
fn read(path: &Path) -> Result<Vec<u8>, PictureError> {
    let failed = |source| PictureError::Read {
        path: path.to_owned(),
        source,
    };
    let found = fs::metadata(path).map_err(failed)?;
    if let Some(found) = not_a_file(&found) {
        return Err(PictureError::NotAFile {
            path: path.to_owned(),
            found,
        });
    }
    let too_long = |found| PictureError::TooLong {
        path: path.to_owned(),
        found,
        limit: MAX_FILE,
    };
    if found.len() > MAX_FILE {
        return Err(too_long(found.len()));
    }
    let mut bytes = Vec::new();
    // It may have grown since.
    let mut file = File::open(path).map_err(failed)?.take(MAX_FILE + 1);
    file.read_to_end(&mut bytes).map_err(failed)?;
    match bytes.len() as u64 > MAX_FILE {
        true => Err(too_long(bytes.len() as u64)),
        false => Ok(bytes),
    }
}

/// The picture in the bytes of a file; `path` names it in messages.
///
/// # Errors
/// As [`read_picture`].
pub fn decode_picture(path: &Path, bytes: &[u8]) -> Result<Picture, PictureError> {
    upright(path, decoder(path, bytes)?)
}

/// The size of the picture in a file, [width, height] the right way up, and the SHA-256 of the file:
/// without decoding its pixels.
///
/// # Errors
/// As [`read_picture`], but for damage of the pixels.
pub(super) fn measure_picture(path: &Path) -> Result<([usize; 2], String), PictureError> {
    let bytes = read(path)?;
    let hash = Sha256::digest(&bytes);
    let hash = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut decoder = decoder(path, &bytes)?;
    let [width, height] = sides(path, &decoder)?;
    let orientation = decoder
        .orientation()
        .map_err(|error| damaged(path, &error))?;
    let turns = matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    );
    Ok((
        if turns {
            [height, width]
        } else {
            [width, height]
        },
        hash,
    ))
}

fn damaged(path: &Path, error: &ImageError) -> PictureError {
    PictureError::Damaged {
        path: path.to_owned(),
        problem: error.to_string(),
    }
}

/// The decoder of a picture's format, before it reads pixels.
fn decoder<'b>(path: &Path, bytes: &'b [u8]) -> Result<Box<dyn ImageDecoder + 'b>, PictureError> {
    let unsupported = |found, expected| PictureError::Unsupported {
        path: path.to_owned(),
        found,
        expected,
    };
    let damaged = |error: ImageError| damaged(path, &error);
    const STILL: &str = "a still picture; save one frame of it, or give the whole as a video";
    let cursor = Cursor::new(bytes);
    match image::guess_format(bytes) {
        Ok(ImageFormat::Png) => {
            let decoder = PngDecoder::new(cursor).map_err(damaged)?;
            if decoder.is_apng().map_err(damaged)? {
                return Err(unsupported("an animated PNG", STILL));
            }
            Ok(Box::new(decoder))
        }
        Ok(ImageFormat::Jpeg) => {
            let outline = Outline::of(bytes);
            if outline.components == Some(4) {
                return Err(unsupported(
                    "a JPEG in CMYK, for print",
                    "a picture in RGB or grey; convert it to sRGB",
                ));
            }
            if !outline.is_whole {
                return Err(PictureError::Damaged {
                    path: path.to_owned(),
                    problem: "its last lines are missing".to_owned(),
                });
            }
            Ok(Box::new(JpegDecoder::new(cursor).map_err(damaged)?))
        }
        Ok(ImageFormat::WebP) => {
            let decoder = WebPDecoder::new(cursor).map_err(damaged)?;
            if decoder.has_animation() {
                return Err(unsupported("an animated WebP", STILL));
            }
            Ok(Box::new(decoder))
        }
        _ => Err(PictureError::NotAPicture {
            path: path.to_owned(),
            found: match bytes {
                [] => "nothing".to_owned(),
                bytes => bytes[..bytes.len().min(8)].escape_ascii().to_string(),
            },
        }),
    }
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODED);
    limits
}

/// Width and height as stored, if they are within the limits.
fn sides(path: &Path, decoder: &impl ImageDecoder) -> Result<[usize; 2], PictureError> {
    let (width, height) = decoder.dimensions();
    let sides = MIN_SIDE..=MAX_SIDE;
    let pixels = u64::from(width) * u64::from(height);
    if !sides.contains(&width) || !sides.contains(&height) || pixels > MAX_PIXELS {
        return Err(PictureError::Size {
            path: path.to_owned(),
            width,
            height,
            expected: format!(
                "{MIN_SIDE} to {MAX_SIDE} along each side and at most {MAX_PIXELS} in all"
            ),
        });
    }
    Ok([width as usize, height as usize])
}

/// Decodes a picture whose sides are within the limits.
fn upright(path: &Path, mut decoder: impl ImageDecoder) -> Result<Picture, PictureError> {
    let damaged = |error: ImageError| damaged(path, &error);
    sides(path, &decoder)?;
    decoder.set_limits(limits()).map_err(damaged)?;
    let orientation = decoder.orientation().map_err(damaged)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(damaged)?;
    image.apply_orientation(orientation);
    let has_alpha = image.color().has_alpha();
    let (width, height) = (image.width() as usize, image.height() as usize);
    let rgb = match has_alpha {
        false => image.into_rgb8().into_raw(),
        true => on_white(&image.into_rgba8().into_raw()),
    };
    Ok(Picture { width, height, rgb })
}

/// RGBA over white.
fn on_white(rgba: &[u8]) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(rgba.len() / 4 * 3);
    for &[r, g, b, alpha] in rgba.as_chunks::<4>().0 {
        let alpha = u32::from(alpha);
        let over = |colour: u8| {
            let sum = u32::from(colour) * alpha + 255 * (255 - alpha);
            ((sum + 127) / 255) as u8
        };
        rgb.extend([over(r), over(g), over(b)]);
    }
    rgb
}

/// What a JPEG's markers say, without decoding it.
///
/// Source: ITU-T T.81, B.1.1 and B.2.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outline {
    /// Components of its frame; 4 are CMYK, which files for print have, inverted or not.
    components: Option<u8>,
    /// Whether it ends with the marker of its end, which decoders do without: they fill in grey.
    is_whole: bool,
}

impl Outline {
    fn of(bytes: &[u8]) -> Self {
        let mut outline = Self::default();
        let mut rest = bytes.get(2..).unwrap_or_default();
        let mut in_scan = false;
        while let &[first, code, ..] = rest {
            // Any number of fill bytes stands before a marker's code; in a scan 0 follows what is none.
            let is_marker = first == 0xff && !matches!(code, 0x00 | 0xff);
            let is_alone = matches!(code, 0x01 | 0xd0..=0xd7);
            if is_marker && is_alone {
                rest = &rest[2..];
                continue;
            }
            if !is_marker {
                if first != 0xff && !in_scan {
                    return outline;
                }
                rest = &rest[1..];
                continue;
            }
            if code == 0xd9 {
                outline.is_whole = true;
                return outline;
            }
            let is_frame = matches!(code, 0xc0..=0xcf) && !matches!(code, 0xc4 | 0xc8 | 0xcc);
            if is_frame {
                outline.components = rest.get(9).copied();
            }
            in_scan = code == 0xda;
            let &[_, _, high, low, ..] = rest else {
                return outline;
            };
            let length = usize::from(u16::from_be_bytes([high, low]));
            rest = rest.get(2 + length..).unwrap_or_default();
        }
        outline
    }
}
