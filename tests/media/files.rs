//! What a file holds, and what a player can rely on.

use super::*;

#[test]
fn contents_come_before_the_samples() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clip.mp4");
    write(&path, VideoOptions::new(64, 64, fps(30, 1)), 70);
    let bytes = fs::read(&path).unwrap();
    let names: Vec<_> = outermost_boxes(&bytes)
        .into_iter()
        .map(|(_, name)| name)
        .collect();
    assert_eq!(names, ["ftyp", "moov", "mdat"]);

    // An independent reader finds the same samples at the shifted offsets.
    let file = fs::File::open(&path).unwrap();
    let mut reader =
        mp4::Mp4Reader::read_header(std::io::BufReader::new(file), bytes.len() as u64).unwrap();
    assert_eq!(reader.sample_count(1).unwrap(), 70);
    for number in 1..=70 {
        let sample = reader.read_sample(1, number).unwrap().unwrap();
        let length = u32::from_be_bytes(sample.bytes[..4].try_into().unwrap()) as usize;
        assert_eq!(length + 4, sample.bytes.len());
        assert_eq!(sample.is_sync, (number - 1) % 30 == 0);
        assert_eq!(sample.bytes[4] & 0x1f, if sample.is_sync { 5 } else { 1 });
    }
}

#[test]
fn rates_are_exact() {
    for (text, expected) in [
        ("16", (16, 1)),
        ("24", (24, 1)),
        ("30", (30, 1)),
        ("23.976", (24_000, 1001)),
        ("23.98", (24_000, 1001)),
        ("29.97", (30_000, 1001)),
        ("59.94", (60_000, 1001)),
        ("24000/1001", (24_000, 1001)),
        ("48/2", (24, 1)),
        ("12.5", (25, 2)),
        ("0.5", (1, 2)),
    ] {
        let rate: FrameRate = text.parse().unwrap();
        assert_eq!((rate.numerator(), rate.denominator()), expected, "{text}");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("clip.mp4");
        write(&path, VideoOptions::new(32, 32, rate), 7);
        let info = probe(&path).unwrap();
        assert_eq!(
            (info.fps, info.duration),
            (rate, rate.duration(7)),
            "{text}"
        );
    }
    for text in ["0", "-1", "nan", "inf", "1000", "1/0", "0/1", "fast", ""] {
        let refused = text.parse::<FrameRate>();
        assert!(
            matches!(refused, Err(MediaError::FrameRate { .. })),
            "{text}: {refused:?}"
        );
    }
    assert_eq!(fps(24_000, 1001).to_string(), "23.976");
    assert_eq!(fps(16, 1).to_string(), "16");
}

#[test]
fn metadata_comes_back_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clip.mp4");
    let entry = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let metadata: Entries = vec![
        entry("prompt", "a red kite glides over a quiet harbour at dawn"),
        entry("negative_prompt", ""),
        entry("seed", "4294967295"),
        entry(
            "ключ",
            "风筝飞过港口 🪁 \"quotes\" = ; # \\ \n second line\tand a tab",
        ),
        entry("long", &"ünïcödé ".repeat(1300)),
        entry("kinora", "0.1.0"),
    ];
    let options = VideoOptions {
        metadata: metadata.clone(),
        ..VideoOptions::new(64, 64, fps(16, 1))
    };
    write(&path, options, 3);
    assert_eq!(read_metadata(&path).unwrap(), metadata);
    assert_eq!(
        frames_of(&path).len(),
        3,
        "samples are found behind the metadata"
    );

    if let Some(text) = tool(
        "ffprobe",
        &["-v", "warning", "-show_format", "-of", "json"],
        &path,
    ) {
        assert!(
            text.contains("\"prompt\": \"a red kite glides over a quiet harbour at dawn\""),
            "{text}"
        );
        assert!(text.contains("\"seed\": \"4294967295\""), "{text}");
        assert!(text.contains("风筝飞过港口 🪁"), "{text}");
        assert!(text.contains(&"ünïcödé ".repeat(1300)), "{text}");
    }

    let plain = dir.path().join("plain.mp4");
    write(&plain, VideoOptions::new(64, 64, fps(16, 1)), 1);
    assert_eq!(read_metadata(&plain).unwrap(), Entries::new());

    for (key, value) in [("", "x"), ("a\0b", "x"), ("a", "x\0")] {
        let options = VideoOptions {
            metadata: vec![entry(key, value)],
            ..VideoOptions::new(64, 64, fps(16, 1))
        };
        let refused = VideoWriter::create(&dir.path().join("no.mp4"), options).err();
        assert!(
            matches!(refused, Some(MediaError::Metadata { .. })),
            "{key:?}: {refused:?}"
        );
    }
}

#[test]
fn ffmpeg_sees_what_was_meant() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clip.mp4");
    let summary = write(&path, VideoOptions::new(320, 180, fps(24_000, 1001)), 50);
    tool("ffmpeg", &["-v", "warning", "-i"], &path);
    let Some(text) = tool("ffprobe", &["-v", "warning", "-show_streams"], &path) else {
        return;
    };
    for line in [
        "codec_name=h264",
        "profile=High",
        "codec_tag_string=avc1",
        "width=320",
        "height=180",
        "has_b_frames=0",
        "pix_fmt=yuv420p",
        "color_range=tv",
        "color_space=bt709",
        "color_transfer=bt709",
        "color_primaries=bt709",
        "r_frame_rate=24000/1001",
        "avg_frame_rate=24000/1001",
        "nb_frames=50",
        "sample_aspect_ratio=1:1",
        &format!("level={}", summary.level.0),
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
}
