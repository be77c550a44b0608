//! Clips to start from.

use std::fs;
use std::path::Path;

use kinora::Error;
use kinora::error::{MediaError, PictureError};
use kinora::media::{FrameRate, VideoOptions, VideoWriter, decode};
use kinora::pictures::{Picture, read_clip};

use super::{folder, picture};

fn rate(hz: u32) -> FrameRate {
    FrameRate::new(hz, 1).unwrap()
}

/// A clip of grey frames, each lighter than the one before, and its frames decoded one by one.
fn clip(path: &Path, frames: usize, hz: u32) -> Vec<Picture> {
    let (width, height) = (48, 32);
    let options = VideoOptions::new(width, height, rate(hz));
    let mut writer = VideoWriter::create(path, options).unwrap();
    for frame in 0..frames {
        let rgb = vec![20 + 12 * frame as u8; (width * height * 3) as usize];
        writer.push(&rgb).unwrap();
    }
    writer.finish().unwrap();
    let frames = decode(path).unwrap().map(|frame| {
        let frame = frame.unwrap();
        Picture {
            width: frame.width as usize,
            height: frame.height as usize,
            rgb: frame.rgb,
        }
    });
    frames.collect()
}

fn all(path: &Path, fps: Option<FrameRate>) -> Vec<Picture> {
    let clip = read_clip(path, fps).unwrap();
    let said = clip.info().frames;
    let frames: Vec<Picture> = clip.map(Result::unwrap).collect();
    assert_eq!(frames.len() as u64, said);
    frames
}

#[test]
fn a_video_is_taken_frame_by_frame_or_at_a_rate() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("clip.mp4");
    let frames = clip(&path, 9, 24);
    let info = read_clip(&path, None).unwrap().info().clone();
    assert_eq!((info.width, info.height, info.frames), (48, 32, 9));
    assert_eq!(info.fps, Some(rate(24)));
    assert_eq!(info.hash.len(), 64);
    assert_eq!(all(&path, None), frames);
    // At two thirds of the rate every third frame is left out.
    let taken = all(&path, Some(rate(16)));
    let expected = [0, 1, 3, 4, 6, 7].map(|at: usize| frames[at].clone());
    assert_eq!(taken, expected);
    let doubled = all(&path, Some(rate(48)));
    assert_eq!(doubled.len(), 18);
    assert!(
        doubled
            .iter()
            .enumerate()
            .all(|(at, frame)| *frame == frames[at / 2])
    );
}

/// A phone stores a clip as its sensor sees it, and says in a matrix how to turn it.
#[test]
fn a_clip_stands_upright() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("clip.mp4");
    let (width, height) = (48, 32);
    let mut writer =
        VideoWriter::create(&path, VideoOptions::new(width, height, rate(16))).unwrap();
    // The left half is dark.
    let rgb = (0..width * height).flat_map(|at| [if at % width < 24 { 20 } else { 220 }; 3]);
    writer.push(&rgb.collect::<Vec<u8>>()).unwrap();
    writer.finish().unwrap();
    let bytes = fs::read(&path).unwrap();
    let one = 0x1_0000_i32;
    let matrix = |[a, b, c, d]: [i32; 4]| {
        let numbers = [a, b, 0, c, d, 0, 0, 0, 1 << 30];
        numbers
            .iter()
            .flat_map(|n| n.to_be_bytes())
            .collect::<Vec<u8>>()
    };
    let tkhd = bytes.windows(4).position(|part| part == b"tkhd").unwrap();
    let identity = matrix([one, 0, 0, one]);
    let found = bytes[tkhd..].windows(36).position(|part| part == identity);
    let at = tkhd + found.unwrap();
    let with = |numbers| {
        let mut bytes = bytes.clone();
        bytes[at..at + 36].copy_from_slice(&matrix(numbers));
        fs::write(&path, bytes).unwrap();
    };
    // Where the dark half comes to lie: the first pixel of the first line, and of the last.
    for (numbers, size, dark) in [
        ([one, 0, 0, one], (48, 32), [true, true]),
        ([0, one, -one, 0], (32, 48), [true, false]),
        ([-one, 0, 0, -one], (48, 32), [false, false]),
        ([0, -one, one, 0], (32, 48), [false, true]),
    ] {
        with(numbers);
        let info = read_clip(&path, None).unwrap().info().clone();
        assert_eq!((info.width, info.height), size);
        let frame = all(&path, None).remove(0);
        assert_eq!((frame.width, frame.height), size);
        let last = frame.rgb[frame.rgb.len() - frame.width * 3];
        assert_eq!([frame.rgb[0] < 120, last < 120], dark, "{numbers:?}");
    }
    with([-one, 0, 0, one]);
    let text = refused(&path).to_string();
    assert!(text.contains("a picture that is mirrored"), "{text}");
}

#[test]
fn a_folder_is_taken_in_the_order_of_its_numbers() {
    let place = tempfile::tempdir().unwrap();
    for (name, from) in [
        ("f10.png", "rgba.png"),
        ("f9.PNG", "rgb.png"),
        ("f1.jpeg", "rgb.jpg"),
        ("notes.txt", "sizes.json"),
    ] {
        fs::copy(folder().join(from), place.path().join(name)).unwrap();
    }
    let clip = read_clip(place.path(), Some(rate(16))).unwrap();
    assert_eq!((clip.info().frames, clip.info().fps), (3, None));
    let frames: Vec<Picture> = clip.map(Result::unwrap).collect();
    let own = |name: &str| {
        kinora::pictures::read_picture(&folder().join(name))
            .unwrap()
            .0
    };
    assert_eq!(frames, [own("rgb.jpg"), own("rgb.png"), own("rgba.png")]);
}

fn refused(path: &Path) -> Error {
    match read_clip(path, None) {
        Err(error) => error,
        Ok(mut clip) => clip.find_map(Result::err).expect("an error"),
    }
}

#[test]
fn other_clips_have_their_sentences() {
    let place = tempfile::tempdir().unwrap();
    let pictures = place.path().join("pictures");
    fs::create_dir(&pictures).unwrap();
    let error = refused(&pictures).to_string();
    assert!(
        error.contains("holds no pictures, expected PNG, JPEG or WebP"),
        "{error}"
    );
    fs::copy(folder().join("rgb.png"), pictures.join("1.png")).unwrap();
    fs::copy(folder().join("turned6.jpg"), pictures.join("2.jpg")).unwrap();
    let error = refused(&pictures).to_string();
    assert!(error.contains("2.jpg has 18x22 pixels and "), "{error}");
    assert!(error.contains("1.png before it 22x18;"), "{error}");

    let path = place.path().join("clip.mp4");
    clip(&path, 3, 16);
    let bytes = fs::read(&path).unwrap();
    let other = place.path().join("other.mp4");
    let change = |from: &[u8], to: &[u8]| {
        let mut bytes = bytes.clone();
        let at = bytes
            .windows(from.len())
            .position(|part| part == from)
            .unwrap();
        bytes[at..at + to.len()].copy_from_slice(to);
        fs::write(&other, bytes).unwrap();
        refused(&other)
    };
    for (from, to, expected) in [
        (
            b"avc1\0\0",
            b"hvc1\0\0",
            "is a video with a track of 'hvc1', expected an MP4 with",
        ),
        (
            b"vide\0\0",
            b"soun\0\0",
            "is a video with no video track, expected an MP4 with",
        ),
    ] {
        let error = change(from, to);
        let text = error.to_string();
        assert!(
            matches!(error, Error::Picture(PictureError::Codec { .. })),
            "{text}"
        );
        assert!(
            text.contains(expected) && text.contains("ffmpeg -i IN"),
            "{text}"
        );
    }
    fs::write(&other, b"\x1a\x45\xdf\xa3 a Matroska file is no MP4 at all").unwrap();
    let text = refused(&other).to_string();
    assert!(
        text.contains("is not an MP4 (") && text.contains("ffmpeg"),
        "{text}"
    );
    fs::write(&other, &bytes[..bytes.len() - 20]).unwrap();
    let error = refused(&other);
    assert!(
        matches!(error, Error::Media(MediaError::Truncated { .. })),
        "{error}"
    );
    let error = refused(&place.path().join("absent.mp4"));
    assert!(error.to_string().starts_with("cannot read "), "{error}");
}

#[test]
fn a_clip_that_changes_while_it_is_read_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("clip.mp4");
    clip(&path, 3, 16);
    let mut frames = read_clip(&path, None).unwrap();
    assert!(frames.next().unwrap().is_ok());
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend([0; 64]);
    fs::write(&path, bytes).unwrap();
    let error = frames.find_map(Result::err).expect("an error");
    assert!(
        error.to_string().contains("changed while it was read"),
        "{error}"
    );
    assert!(frames.next().is_none());

    let pictures = place.path().join("pictures");
    fs::create_dir(&pictures).unwrap();
    for name in ["1.png", "2.png"] {
        fs::copy(folder().join("rgb.png"), pictures.join(name)).unwrap();
    }
    let mut frames = read_clip(&pictures, None).unwrap();
    let first = frames.next().unwrap().unwrap();
    assert_eq!(first.rgb, picture([22, 18]).rgb);
    fs::copy(folder().join("rgba.png"), pictures.join("2.png")).unwrap();
    let error = frames.next().unwrap().unwrap_err();
    assert!(
        error.to_string().contains("changed while it was read"),
        "{error}"
    );
}
