//! What made a clip, after other programs had it.

use super::*;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/media");

/// What a run writes, in little.
fn entries() -> Entries {
    [
        ("prompt", "a red kite, \"high\" over 港口"),
        ("negative_prompt", "blurry"),
        ("seed", "18446744073709551615"),
        ("steps", "4"),
        ("guidance", "3.5"),
        ("scheduler", "unipc"),
        ("width", "32"),
        ("height", "32"),
        ("model", "Kinora starter"),
        ("kinora", "0.1.0"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .to_vec()
}

fn clip(path: &Path) {
    let options = VideoOptions {
        metadata: entries(),
        ..VideoOptions::new(32, 32, fps(16, 1))
    };
    write(path, options, 3);
}

/// `remuxed.mp4` is what `ffmpeg -c copy` (5.1) made of such a clip, `remuxed-keys.mp4` with
/// `-movflags use_metadata_tags`.
#[test]
fn metadata_survives_a_copy_by_ffmpeg() {
    for name in ["remuxed.mp4", "remuxed-keys.mp4"] {
        let path = Path::new(FIXTURES).join(name);
        assert!(
            fs::read(&path).unwrap().windows(4).any(|w| w == b"Lavf"),
            "{name} is ffmpeg's"
        );
        assert_eq!(read_metadata(&path).unwrap(), entries(), "{name}");
        assert_eq!(frames_of(&path).len(), 3, "{name}");
    }

    let dir = tempfile::tempdir().unwrap();
    let (path, copy) = (dir.path().join("clip.mp4"), dir.path().join("copy.mp4"));
    clip(&path);
    for flags in ["+faststart", "use_metadata_tags"] {
        let copied = Command::new("ffmpeg")
            .args(["-v", "error", "-y", "-i"])
            .arg(&path)
            .args(["-c", "copy", "-movflags", flags])
            .arg(&copy)
            .status();
        match copied {
            Ok(status) => assert!(status.success()),
            Err(_) => return eprintln!("ffmpeg is not installed: this part was skipped"),
        }
        assert_eq!(read_metadata(&copy).unwrap(), entries(), "{flags}");
    }
}

/// A clip of version 0.1.0, which wrote keys alone.
#[test]
fn old_clips_say_what_made_them() {
    let found = read_metadata(&Path::new(FIXTURES).join("kinora-0.1.0.mp4")).unwrap();
    assert_eq!(found.len(), 18);
    assert_eq!(
        found[0],
        (
            "prompt".to_owned(),
            "a blue boat sails to the right at sunset".to_owned()
        )
    );
    assert_eq!(found[17], ("kinora".to_owned(), "0.1.0".to_owned()));
}

/// Title, program, comment and the settings in one text, as other programs look for them.
#[test]
fn other_programs_find_what_they_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clip.mp4");
    clip(&path);
    assert_eq!(read_metadata(&path).unwrap(), entries());
    let bytes = fs::read(&path).unwrap();
    let holds = |needle: &str| {
        let needle = needle.as_bytes();
        bytes.windows(needle.len()).any(|window| window == needle)
    };
    let comment = r#"{"prompt":"a red kite, \"high\" over 港口","negative_prompt":"blurry","seed":"18446744073709551615","#;
    assert!(holds(comment));
    assert!(holds("Kinora 0.1.0"));
    assert!(holds(
        "a red kite, \"high\" over 港口\nNegative prompt: blurry\nSteps: 4, Sampler: unipc, \
         CFG scale: 3.5, Seed: 18446744073709551615, Size: 32x32, Model: Kinora starter, \
         Version: Kinora"
    ));
    if let Some(text) = tool(
        "ffprobe",
        &["-v", "warning", "-show_format", "-of", "json"],
        &path,
    ) {
        for tag in [
            r#""title": "a red kite, \"high\" over 港口""#,
            r#""encoder": "Kinora 0.1.0""#,
            r#""comment": "{"#,
            r#""parameters": "a red kite"#,
            r#""seed": "18446744073709551615""#,
        ] {
            assert!(text.contains(tag), "{tag} is not in\n{text}");
        }
    }
}

/// Frames are shown in the order they are coded, from time 0 on: nothing for an edit list to say.
#[test]
fn clips_start_at_once_without_an_edit_list() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clip.mp4");
    clip(&path);
    let file = std::io::BufReader::new(fs::File::open(&path).unwrap());
    let len = fs::metadata(&path).unwrap().len();
    let mut reader = mp4::Mp4Reader::read_header(file, len).unwrap();
    let track = &reader.tracks()[&1];
    assert!(track.trak.edts.is_none());
    assert!(track.trak.mdia.minf.stbl.ctts.is_none());
    for number in 1..=3 {
        let sample = reader.read_sample(1, number).unwrap().unwrap();
        let shown = sample.start_time as i64 + i64::from(sample.rendering_offset);
        assert_eq!(shown, i64::from(number - 1) * 625);
    }
    let packets = "-show_packets";
    if let Some(text) = tool(
        "ffprobe",
        &["-v", "warning", packets, "-show_streams"],
        &path,
    ) {
        assert!(text.contains("start_time=0.000000"), "{text}");
        for packet in text.split("[PACKET]").skip(1) {
            let value = |key: &str| packet.lines().find_map(|line| line.strip_prefix(key));
            assert_eq!(value("pts="), value("dts="), "{packet}");
        }
    }
}

#[test]
fn a_picture_says_what_made_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("still.png");
    let entries = [
        ("prompt", "a kite, 海"),
        ("seed", "7"),
        ("steps", "4"),
        ("kinora", "0.1.0"),
    ];
    let entries = entries.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let write = |entries: &[(String, String)]| {
        write_png_with(&path, [3, 2], &[9; 18], entries, true).unwrap();
        fs::read(&path).unwrap()
    };
    let bare = write(&[]);
    assert_eq!(read_metadata(&path).unwrap(), []);
    let whole = write(&entries);
    assert_eq!(read_metadata(&path).unwrap(), entries);
    assert_eq!(kinora::media::describe(&path).unwrap(), "3x2, a picture");
    let says = |text: &str| {
        whole
            .windows(text.len())
            .any(|found| found == text.as_bytes())
    };
    assert!(says("parameters") && says("Seed: 7") && whole.len() > bare.len());
    // Damaged ones give errors or other entries, and no panic.
    for at in 0..whole.len() {
        fs::write(&path, &whole[..at]).unwrap();
        let _ = (read_metadata(&path), kinora::media::describe(&path));
        let mut changed = whole.clone();
        changed[at] ^= 0x21;
        fs::write(&path, changed).unwrap();
        let _ = (read_metadata(&path), kinora::media::describe(&path));
    }
}
