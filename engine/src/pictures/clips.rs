//! Clips to start from: MP4 files and folders of pictures, frame by frame.

use std::cmp::Ordering;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use super::file::{Picture, measure_picture, not_a_file, read_picture};
use crate::error::{Error, MediaError, PictureError};
use crate::media::{FrameRate, Frames, decode, probe, quarter_turns};

/// Endings of the pictures in a folder, in any case.
const PICTURES: [&str; 4] = ["png", "jpg", "jpeg", "webp"];

/// What is known of a clip before its frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClipInfo {
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// Frames that are handed out.
    pub frames: u64,
    /// Frames a second of the file; a folder of pictures has none.
    pub fps: Option<FrameRate>,
    /// SHA-256 in hexadecimal: of the file, or of the hashes of a folder's pictures, in order.
    pub hash: String,
}

/// A clip's frames in order, each an RGB picture of one size; after an error no more.
pub struct ClipFrames {
    info: ClipInfo,
    source: Source,
}

enum Source {
    /// An MP4 whose frames are taken at a rate.
    Video(Box<Video>),
    Folder(Folder),
    /// After an error.
    Ended,
}

/// Reads the clip at `path`: an MP4 with H.264, or a folder of pictures in the order of their names,
/// where numbers count by their value. With `fps` a video is taken at that many frames a second, each
/// the one that is shown at its time; otherwise, and in a folder always, frame by frame.
///
/// # Errors
/// A [`PictureError`] for what is no file, has another codec or container, or holds no pictures or
/// pictures of several sizes; a [`MediaError`] for a damaged video.
pub fn read_clip(path: &Path, fps: Option<FrameRate>) -> Result<ClipFrames, Error> {
    let found = fs::metadata(path).map_err(|source| failed(path, source))?;
    if found.is_dir() {
        return folder(path);
    }
    if let Some(found) = not_a_file(&found) {
        return Err(PictureError::NotAFile {
            path: path.to_owned(),
            found,
        }
        .into());
    }
    let before = stamp(path)?;
    let hash = hash(path)?;
    let info = probe(path).map_err(codec)?;
    let frames = decode(path).map_err(codec)?;
    let turns = quarter_turns(path).map_err(codec)?;
    let size = [info.width as usize, info.height as usize];
    let [width, height] = match turns % 2 {
        0 => size,
        _ => [size[1], size[0]],
    };
    let taken = Taken {
        from: info.fps,
        to: fps.unwrap_or(info.fps),
    };
    Ok(ClipFrames {
        info: ClipInfo {
            width,
            height,
            frames: taken.count(info.frames),
            fps: Some(info.fps),
            hash,
        },
        source: Source::Video(Box::new(Video {
            path: path.to_owned(),
            before,
            frames,
            turns,
            taken,
            read: 0,
            next: 0,
            current: None,
        })),
    })
}

impl ClipFrames {
    /// Size, number of frames, rate, hash.
    #[must_use]
    pub fn info(&self) -> &ClipInfo {
        &self.info
    }
}

impl std::fmt::Debug for ClipFrames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClipFrames")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

impl Iterator for ClipFrames {
    type Item = Result<Picture, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = match &mut self.source {
            Source::Video(video) => video.next(),
            Source::Folder(folder) => folder.next(),
            Source::Ended => None,
        };
        if !matches!(next, Some(Ok(_))) {
            self.source = Source::Ended;
        }
        next
    }
}

/// Which frames of a video are taken.
#[derive(Clone, Copy)]
struct Taken {
    from: FrameRate,
    to: FrameRate,
}

impl Taken {
    /// Frames of the video over those taken, as a fraction.
    fn ratio(self) -> [u128; 2] {
        let of = |rate: FrameRate| [rate.numerator(), rate.denominator()].map(u128::from);
        let ([from, from_below], [to, to_below]) = (of(self.from), of(self.to));
        [from * to_below, from_below * to]
    }

    /// Which frame is shown at the time of the frame `number`.
    fn index(self, number: u64) -> u64 {
        let [above, below] = self.ratio();
        u64::try_from(u128::from(number) * above / below).unwrap_or(u64::MAX)
    }

    /// The number of frames taken from `frames` source frames.
    fn count(self, frames: u64) -> u64 {
        let [above, below] = self.ratio();
        u64::try_from((u128::from(frames) * below).div_ceil(above)).unwrap_or(u64::MAX)
    }
}

struct Video {
    path: PathBuf,
    /// What the file was like when it was opened.
    before: Stamp,
    frames: Frames,
    /// Quarters clockwise.
    turns: u8,
    taken: Taken,
    /// Frames decoded, and handed out.
    read: u64,
    next: u64,
    /// The last frame decoded.
    current: Option<Picture>,
}

impl Video {
    fn next(&mut self) -> Option<Result<Picture, Error>> {
        let wanted = self.taken.index(self.next);
        while self.read <= wanted {
            match self.frames.next() {
                Some(Ok(frame)) => {
                    self.read += 1;
                    let stored = Picture {
                        width: frame.width as usize,
                        height: frame.height as usize,
                        rgb: frame.rgb,
                    };
                    self.current =
                        Some((0..self.turns).fold(stored, |picture, _| turned(&picture)));
                }
                Some(Err(error)) => {
                    // A file that another program writes looks damaged.
                    let error = self.unchanged().err().unwrap_or(error.into());
                    return Some(Err(error));
                }
                None => return self.unchanged().err().map(Err),
            }
        }
        self.next += 1;
        self.current.clone().map(Ok)
    }

    fn unchanged(&self) -> Result<(), Error> {
        match stamp(&self.path)? == self.before {
            true => Ok(()),
            false => Err(PictureError::Changed {
                path: self.path.clone(),
            }
            .into()),
        }
    }
}

/// A picture a quarter of a turn clockwise.
fn turned(picture: &Picture) -> Picture {
    let (width, height) = (picture.width, picture.height);
    let mut rgb = Vec::with_capacity(picture.rgb.len());
    for column in 0..width {
        for line in (0..height).rev() {
            let at = (line * width + column) * 3;
            rgb.extend_from_slice(&picture.rgb[at..at + 3]);
        }
    }
    Picture {
        width: height,
        height: width,
        rgb,
    }
}

struct Folder {
    /// Each picture and the hash that it had.
    pictures: std::vec::IntoIter<(PathBuf, String)>,
    first: PathBuf,
    size: [usize; 2],
}

impl Folder {
    fn next(&mut self) -> Option<Result<Picture, Error>> {
        let (path, before) = self.pictures.next()?;
        Some(self.read(&path, &before).map_err(Error::from))
    }

    fn read(&self, path: &Path, before: &str) -> Result<Picture, PictureError> {
        let (picture, hash) = read_picture(path)?;
        if hash != before {
            return Err(PictureError::Changed {
                path: path.to_owned(),
            });
        }
        let size = [picture.width, picture.height];
        check_size(path, size, &self.first, self.size)?;
        Ok(picture)
    }
}

/// Refuses a picture of another size than the first of its folder.
fn check_size(
    path: &Path,
    found: [usize; 2],
    first: &Path,
    expected: [usize; 2],
) -> Result<(), PictureError> {
    if found == expected {
        return Ok(());
    }
    let size = |[width, height]: [usize; 2]| format!("{width}x{height}");
    Err(PictureError::Sizes {
        path: path.to_owned(),
        found: size(found),
        first: first.to_owned(),
        expected: size(expected),
    })
}

/// The pictures of a folder.
fn folder(path: &Path) -> Result<ClipFrames, Error> {
    let entries = fs::read_dir(path).map_err(|source| failed(path, source))?;
    let mut files = Vec::new();
    for entry in entries {
        let file = entry.map_err(|source| failed(path, source))?.path();
        let ending = file.extension().map(|ending| ending.to_ascii_lowercase());
        if ending.is_some_and(|ending| PICTURES.iter().any(|known| ending == *known)) {
            files.push(file);
        }
    }
    files.sort_by(|a, b| in_order(&name(a), &name(b)));
    let Some(first) = files.first().cloned() else {
        return Err(PictureError::NoPictures {
            path: path.to_owned(),
        }
        .into());
    };
    let (size, _) = measure_picture(&first)?;
    let mut all = Sha256::new();
    let mut pictures = Vec::new();
    for file in files {
        let found = fs::metadata(&file).map_err(|source| failed(&file, source))?;
        if let Some(found) = not_a_file(&found) {
            return Err(PictureError::NotAFile { path: file, found }.into());
        }
        let (found, hash) = measure_picture(&file)?;
        check_size(&file, found, &first, size)?;
        all.update(hash.as_bytes());
        pictures.push((file, hash));
    }
    Ok(ClipFrames {
        info: ClipInfo {
            width: size[0],
            height: size[1],
            frames: pictures.len() as u64,
            fps: None,
            hash: hexadecimal(&all.finalize()),
        },
        source: Source::Folder(Folder {
            pictures: pictures.into_iter(),
            first,
            size,
        }),
    })
}

fn name(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// Names in the order in which people number them: `frame9` before `frame10`.
fn in_order(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        let digits =
            |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (m, n) = (digits(left), digits(right));
        if m > 0 && n > 0 {
            let value =
                |text: &str, digits: usize| text[..digits].trim_start_matches('0').to_owned();
            let (x, y) = (value(left, m), value(right, n));
            let order = x.len().cmp(&y.len()).then_with(|| x.cmp(&y));
            if order != Ordering::Equal {
                return order;
            }
            (left, right) = (&left[m..], &right[n..]);
            continue;
        }
        let (x, y) = (left.chars().next(), right.chars().next());
        match (x, y) {
            // `01` and `1`: one of them comes first in every folder.
            (None, None) => return a.cmp(b),
            (Some(x), Some(y)) if x == y => {
                (left, right) = (&left[x.len_utf8()..], &right[y.len_utf8()..]);
            }
            _ => return x.cmp(&y),
        }
    }
}

/// What tells whether a file was written to.
#[derive(PartialEq, Eq)]
struct Stamp {
    length: u64,
    written: Option<SystemTime>,
}

fn stamp(path: &Path) -> Result<Stamp, PictureError> {
    let found = fs::metadata(path).map_err(|source| failed(path, source))?;
    Ok(Stamp {
        length: found.len(),
        written: found.modified().ok(),
    })
}

/// The SHA-256 of a file.
fn hash(path: &Path) -> Result<String, PictureError> {
    let mut file = File::open(path).map_err(|source| failed(path, source))?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; 1 << 16];
    loop {
        match file
            .read(&mut piece)
            .map_err(|source| failed(path, source))?
        {
            0 => return Ok(hexadecimal(&hash.finalize())),
            read => hash.update(&piece[..read]),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn failed(path: &Path, source: std::io::Error) -> PictureError {
    PictureError::Read {
        path: path.to_owned(),
        source,
    }
}

/// What is no MP4 of ours can be made one.
fn codec(error: MediaError) -> Error {
    match error {
        MediaError::NotMp4 { path, found } => PictureError::Codec {
            path,
            found: format!("not an MP4 ({found})"),
        }
        .into(),
        MediaError::Unsupported { path, found } => PictureError::Codec {
            path,
            found: format!("a video with {found}"),
        }
        .into(),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_count_by_their_value() {
        let mut names = [
            "b1", "a10.png", "a9.png", "a09.png", "a.png", "a9b", "a1000",
        ];
        names.sort_by(|a, b| in_order(a, b));
        let expected = [
            "a.png", "a09.png", "a9.png", "a9b", "a10.png", "a1000", "b1",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn frames_are_those_shown_at_their_times() {
        let rate = |numerator, denominator| FrameRate::new(numerator, denominator).unwrap();
        let taken = |from, to| Taken { from, to };
        let half = taken(rate(32, 1), rate(16, 1));
        assert_eq!([0, 1, 2].map(|number| half.index(number)), [0, 2, 4]);
        assert_eq!([9, 10].map(|frames| half.count(frames)), [5, 5]);
        let more = taken(rate(16, 1), rate(24, 1));
        assert_eq!(
            [0, 1, 2, 3, 4].map(|number| more.index(number)),
            [0, 0, 1, 2, 2]
        );
        assert_eq!(more.count(3), 5);
        let ntsc = taken(rate(30_000, 1_001), rate(16, 1));
        assert_eq!(ntsc.index(16), 29);
        for taken in [half, more, ntsc] {
            for frames in 1..100 {
                let count = taken.count(frames);
                assert!(taken.index(count - 1) < frames && taken.index(count) >= frames);
            }
        }
    }
}
