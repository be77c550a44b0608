//! Files that are no videos, or were.

use super::*;

#[test]
fn files_that_are_no_videos_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |bytes: &[u8]| {
        let path = dir.path().join("file.mp4");
        fs::write(&path, bytes).unwrap();
        let errors = [
            read_metadata(&path).err(),
            probe(&path).err(),
            decode(&path).err(),
        ];
        errors.map(|e| e.unwrap().to_string())
    };
    for bytes in [
        &b""[..],
        b"hello",
        b"just some text that is long enough for a box or two",
        b"\x89PNG\r\n\x1a\n0000IHDR",
        &[0; 100],
    ] {
        for message in refused(bytes) {
            assert!(message.contains("file.mp4 is not an MP4"), "{message}");
        }
    }
    assert!(matches!(
        probe(&dir.path().join("none.mp4")),
        Err(MediaError::Read { .. })
    ));
    assert!(matches!(
        probe(dir.path()),
        Err(MediaError::NotMp4 { .. } | MediaError::Read { .. })
    ));
    for message in refused(b"\0\0\0\x10ftypisom\0\0\0\0") {
        assert!(message.contains("moov"), "{message}");
    }
}

/// Every prefix of a file, and every file with one byte changed in its tables, gives a result or an
/// error: no panic, no endless loop, no allocation beyond the file's own size.

#[test]
fn damaged_files_give_errors() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clip.mp4");
    let options = VideoOptions {
        metadata: vec![("prompt".to_owned(), "kite".to_owned())],
        ..VideoOptions::new(32, 32, fps(16, 1))
    };
    write(&path, options, 3);
    let whole = fs::read(&path).unwrap();
    let read = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let metadata = read_metadata(&path).is_ok();
        let frames = decode(&path).and_then(|frames| frames.collect::<Result<Vec<_>, _>>());
        metadata && frames.is_ok()
    };
    for len in (0..whole.len()).step_by(29) {
        assert!(
            !read(&whole[..len]),
            "the first {len} bytes of {}",
            whole.len()
        );
    }
    let data = outermost_boxes(&whole)[2].0;
    for at in 0..data {
        let mut damaged = whole.clone();
        damaged[at] = if at % 2 == 0 { 0xff } else { !damaged[at] };
        read(&damaged);
    }
    for at in (data + 16..whole.len()).step_by(23) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x55;
        read(&damaged);
    }
}

#[test]
fn nested_boxes_do_not_exhaust_the_stack() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep.mp4");
    let mut bytes = b"\0\0\0\x10ftypisom\0\0\0\0".to_vec();
    let depth = 100_000u32;
    for level in (1..=depth).rev() {
        bytes.extend_from_slice(&(level * 8).to_be_bytes());
        bytes.extend_from_slice(b"moov");
    }
    fs::write(&path, bytes).unwrap();
    assert!(matches!(probe(&path), Err(MediaError::Corrupt { .. })));
}
