//! Frames to files and back: what a video holds, what a player can rely on, and what is refused.
//!
//! No device. The checks read the files with Kinora's own reader, with the `mp4` crate, and with
//! ffprobe and ffmpeg where those are installed.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail as its tests do")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use kinora::error::MediaError;
use kinora::media::{
    DEFAULT_QUALITY, Frame, FrameRate, VideoOptions, VideoSummary, VideoWriter, check_output,
    decode, frame_path, is_temporary, prepare_frame_folder, probe, read_metadata,
    stale_temporaries, write_png,
};

type Entries = Vec<(String, String)>;

/// A frame with a gradient in every channel, a moving square of saturated colour and fine texture:
/// nothing in it is symmetric.
fn scene(width: u32, height: u32, t: u32) -> Vec<u8> {
    let mut rgb = Vec::with_capacity((width * height * 3) as usize);
    for y in 0..height {
        for x in 0..width {
            let square =
                (x + width - 3 * t % width) % width < width / 5 && y > height / 3 && y < height / 2;
            let texture = if y < height / 4 {
                (x * 7 + y * 13) % 17
            } else {
                0
            };
            rgb.extend(match square {
                true => [230, 40, 60],
                false => [
                    (40 + 160 * x / width + texture) as u8,
                    (30 + 150 * y / height + texture) as u8,
                    (200 - 120 * x / width) as u8,
                ],
            });
        }
    }
    rgb
}

/// A dark, slowly changing sky: where banding and blocks are seen first.
fn sky(width: u32, height: u32, t: u32) -> Vec<u8> {
    let mut rgb = Vec::with_capacity((width * height * 3) as usize);
    for y in 0..height {
        for x in 0..width {
            let (u, v) = (
                f64::from(x) / f64::from(width),
                f64::from(y) / f64::from(height),
            );
            let sun = (-((u - 0.3 - 0.002 * f64::from(t)).powi(2) * 8.0
                + (v - 0.7).powi(2) * 14.0))
                .exp();
            rgb.extend(
                [
                    20.0 + 60.0 * v + 70.0 * sun,
                    22.0 + 35.0 * v + 35.0 * sun,
                    50.0 + 30.0 * v + 5.0 * sun,
                ]
                .map(|c: f64| c.round() as u8),
            );
        }
    }
    rgb
}

fn fps(numerator: u32, denominator: u32) -> FrameRate {
    FrameRate::new(numerator, denominator).unwrap()
}

fn write(path: &Path, options: VideoOptions, frames: u32) -> VideoSummary {
    let (width, height) = (options.width, options.height);
    let mut video = VideoWriter::create(path, options).unwrap();
    for t in 0..frames {
        video.push(&scene(width, height, t)).unwrap();
    }
    video.finish().unwrap()
}

fn frames_of(path: &Path) -> Vec<Frame> {
    decode(path).unwrap().collect::<Result<_, _>>().unwrap()
}

fn psnr(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    let square = |(&a, &b): (&u8, &u8)| (f64::from(a) - f64::from(b)).powi(2);
    let mse = a.iter().zip(b).map(square).sum::<f64>() / a.len() as f64;
    10.0 * (255.0 * 255.0 / mse.max(1e-12)).log10()
}

/// The output of a program, or `None` with a note where it is not installed.
fn tool(program: &str, args: &[&str], file: &Path) -> Option<String> {
    match Command::new(program)
        .args(args)
        .arg(file)
        .args(after_input(program))
        .output()
    {
        Ok(out) => {
            assert!(
                out.status.success(),
                "{program}: {}",
                String::from_utf8_lossy(&out.stderr)
            );
            assert!(
                out.stderr.is_empty(),
                "{program} warns: {}",
                String::from_utf8_lossy(&out.stderr)
            );
            Some(String::from_utf8(out.stdout).unwrap())
        }
        Err(_) => {
            eprintln!("{program} is not installed: this part was skipped");
            None
        }
    }
}

fn after_input(program: &str) -> &'static [&'static str] {
    match program {
        "ffmpeg" => &["-f", "null", "-"],
        _ => &[],
    }
}

fn names_in(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect()
}

/// Where each outermost box begins, and its name.
fn outermost_boxes(bytes: &[u8]) -> Vec<(usize, String)> {
    let (mut at, mut found) = (0, Vec::new());
    while at < bytes.len() {
        let size = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        found.push((
            at,
            String::from_utf8(bytes[at + 4..at + 8].to_vec()).unwrap(),
        ));
        at += size;
    }
    found
}

#[test]
fn frames_come_back_in_order_and_close() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clip.mp4");
    let summary = write(&path, VideoOptions::new(208, 120, fps(16, 1)), 37);
    assert_eq!(
        (summary.width, summary.height, summary.frames),
        (208, 120, 37)
    );
    assert_eq!(summary.bytes, fs::metadata(&path).unwrap().len());
    assert_eq!(summary.note(), None);

    let info = probe(&path).unwrap();
    assert_eq!(
        (info.width, info.height, info.frames, info.fps),
        (208, 120, 37, fps(16, 1))
    );
    assert_eq!(info.duration.as_secs_f64(), 37.0 / 16.0);
    assert_eq!(info.profile, 100, "High profile");
    assert_eq!(info.level, summary.level);
    assert_eq!(info.key_frames, [0, 16, 32], "one a second, and no others");

    let frames = frames_of(&path);
    assert_eq!(frames.len(), 37);
    for (t, frame) in (0..).zip(&frames) {
        assert_eq!((frame.width, frame.height), (208, 120));
        let right = psnr(&scene(208, 120, t), &frame.rgb);
        let wrong = psnr(&scene(208, 120, t + 1), &frame.rgb);
        assert!(
            right > 34.0 && right > wrong + 3.0,
            "frame {t}: {right:.1} dB, its neighbour {wrong:.1} dB"
        );
    }
}

#[test]
fn the_same_frames_make_the_same_file() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b] = ["a.mp4", "b.mp4"].map(|name| {
        let path = dir.path().join(name);
        write(&path, VideoOptions::new(208, 120, fps(16, 1)), 20);
        fs::read(&path).unwrap()
    });
    assert!(a == b);
}

#[test]
fn flat_colours_survive_within_two_steps() {
    // A wrong matrix, range or swapped planes move these by ten steps and more.
    let dir = tempfile::tempdir().unwrap();
    for (i, colour) in [
        [0, 0, 0],
        [255, 255, 255],
        [128, 128, 128],
        [255, 0, 0],
        [0, 255, 0],
        [0, 0, 255],
        [250, 200, 20],
        [18, 52, 86],
    ]
    .into_iter()
    .enumerate()
    {
        let path = dir.path().join(format!("{i}.mp4"));
        let mut video = VideoWriter::create(&path, VideoOptions::new(64, 48, fps(24, 1))).unwrap();
        video.push(&colour.repeat(64 * 48)).unwrap();
        video.finish().unwrap();
        let frame = frames_of(&path).remove(0);
        for px in frame.rgb.chunks(3) {
            let off = px.iter().zip(colour).map(|(&a, b)| a.abs_diff(b)).max();
            assert!(off <= Some(2), "{colour:?} became {px:?}");
        }
    }
}

#[test]
fn smooth_gradients_show_no_bands_or_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let (width, height) = (416, 240);
    let error_of = |quality: u8| {
        let path = dir.path().join(format!("{quality}.mp4"));
        let options = VideoOptions {
            quality,
            ..VideoOptions::new(width, height, fps(16, 1))
        };
        let mut video = VideoWriter::create(&path, options).unwrap();
        for t in 0..20 {
            video.push(&sky(width, height, t)).unwrap();
        }
        let bytes = video.finish().unwrap().bytes;
        let (mut worst, mut sum, mut squares) = (0.0f64, 0.0, 0.0);
        for (t, frame) in (0..).zip(frames_of(&path)) {
            let original = sky(width, height, t);
            for (by, bx) in (0..height / 8).flat_map(|y| (0..width / 8).map(move |x| (y, x))) {
                let luma = |rgb: &[u8]| -> f64 {
                    let pixels =
                        (0..64).map(|i| ((by * 8 + i / 8) * width + bx * 8 + i % 8) as usize * 3);
                    pixels
                        .map(|at| {
                            0.2126 * f64::from(rgb[at])
                                + 0.7152 * f64::from(rgb[at + 1])
                                + 0.0722 * f64::from(rgb[at + 2])
                        })
                        .sum::<f64>()
                        / 64.0
                };
                let off = (luma(&original) - luma(&frame.rgb)).abs();
                worst = worst.max(off);
                sum += off * off;
                squares += 1.0;
            }
        }
        let rms = (sum / squares).sqrt();
        println!(
            "quality {quality}: 8x8 means off by {rms:.3} (RMS), {worst:.2} at worst, {bytes} bytes"
        );
        (rms, worst, bytes)
    };
    let (rms, worst, bytes) = error_of(DEFAULT_QUALITY);
    assert!(rms < 0.35 && worst < 1.6, "RMS {rms:.3}, worst {worst:.2}");
    let (rough, _, small) = error_of(40);
    assert!(
        rough > rms && small < bytes,
        "quality does not act: {rough:.3}, {small} bytes"
    );
}

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
fn odd_sides_repeat_their_edge_and_say_so() {
    let dir = tempfile::tempdir().unwrap();
    for (width, height, part) in [
        (35, 33, "last column and row"),
        (35, 32, "last column"),
        (34, 33, "last row"),
    ] {
        let path = dir.path().join(format!("{width}x{height}.mp4"));
        let summary = write(&path, VideoOptions::new(width, height, fps(16, 1)), 2);
        let even = (width.next_multiple_of(2), height.next_multiple_of(2));
        assert_eq!((summary.width, summary.height), even);
        let note = summary.note().unwrap();
        assert!(
            note.contains(part) && note.contains(&format!("{width}x{height}")),
            "{note}"
        );
        let frame = frames_of(&path).remove(0);
        assert_eq!((frame.width, frame.height), even);
        let original = scene(width, height, 0);
        let at = |x: u32, y: u32| {
            let px = ((y.min(height - 1)) * width + x.min(width - 1)) as usize * 3;
            original[px..px + 3].to_vec()
        };
        let repeated: Vec<u8> = (0..even.1)
            .flat_map(|y| (0..even.0).flat_map(move |x| at(x, y)).collect::<Vec<_>>())
            .collect();
        assert!(psnr(&repeated, &frame.rgb) > 30.0);
    }
}

#[test]
fn one_frame_is_a_video() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("one.mp4");
    let summary = write(&path, VideoOptions::new(96, 64, fps(24_000, 1001)), 1);
    assert_eq!(summary.frames, 1);
    assert_eq!(probe(&path).unwrap().key_frames, [0]);
    assert_eq!(frames_of(&path).len(), 1);
    if let Some(text) = tool("ffprobe", &["-v", "warning", "-show_streams"], &path) {
        assert!(text.contains("nb_frames=1\n"), "{text}");
    }
    tool("ffmpeg", &["-v", "warning", "-i"], &path);
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

#[test]
fn our_colours_are_ffmpegs_colours() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clip.mp4");
    write(&path, VideoOptions::new(208, 120, fps(16, 1)), 2);
    let raw = dir.path().join("frame.rgb");
    let convert = "scale=flags=accurate_rnd+full_chroma_int+bilinear,format=rgb24";
    let out = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(&path)
        .args(["-frames:v", "1", "-vf", convert, "-f", "rawvideo"])
        .arg(&raw)
        .status();
    if out.is_err() {
        return eprintln!("ffmpeg is not installed: this test was skipped");
    }
    let near = psnr(&frames_of(&path)[0].rgb, &fs::read(&raw).unwrap());
    assert!(near > 38.0, "{near:.1} dB");
}

#[test]
fn an_unfinished_video_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clip.mp4");
    let mut video = VideoWriter::create(&path, VideoOptions::new(64, 64, fps(16, 1))).unwrap();
    for t in 0..40 {
        video.push(&scene(64, 64, t)).unwrap();
        assert!(!path.exists());
    }
    drop(video);
    assert_eq!(names_in(dir.path()), Vec::<PathBuf>::new());

    let empty = VideoWriter::create(&path, VideoOptions::new(64, 64, fps(16, 1))).unwrap();
    assert!(matches!(empty.finish(), Err(MediaError::NoFrames { .. })));
    assert_eq!(names_in(dir.path()), Vec::<PathBuf>::new());
}

#[test]
fn existing_files_are_kept_unless_told_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clip.mp4");
    fs::write(&path, "precious").unwrap();
    let options = || VideoOptions::new(64, 64, fps(16, 1));
    let refused = VideoWriter::create(&path, options()).err();
    assert!(
        matches!(refused, Some(MediaError::Exists { .. })),
        "{refused:?}"
    );

    // A name that is taken while the frames are made.
    let later = dir.path().join("later.mp4");
    let mut video = VideoWriter::create(&later, options()).unwrap();
    video.push(&scene(64, 64, 0)).unwrap();
    fs::write(&later, "precious").unwrap();
    assert!(matches!(video.finish(), Err(MediaError::Exists { .. })));
    assert_eq!(fs::read(&later).unwrap(), b"precious");

    write(
        &path,
        VideoOptions {
            overwrite: true,
            ..options()
        },
        2,
    );
    assert_eq!(probe(&path).unwrap().frames, 2);
    assert_eq!(names_in(dir.path()).len(), 2, "no temporary files are left");
}

#[cfg(unix)]
#[test]
fn a_result_has_the_permissions_of_any_new_file() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (video, plain) = (dir.path().join("clip.mp4"), dir.path().join("plain"));
    write(&video, VideoOptions::new(64, 64, fps(16, 1)), 1);
    fs::write(&plain, "").unwrap();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&video), mode(&plain));
}

#[test]
fn outputs_are_checked_before_work_begins() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("file"), "").unwrap();
    fs::create_dir(at("folder.mp4")).unwrap();
    fs::write(at("taken.mp4"), "").unwrap();
    let error = |name: &str| check_output(&at(name), false).unwrap_err();

    assert!(check_output(&at("new.mp4"), false).is_ok());
    assert!(check_output(&at("new.MP4"), false).is_ok());
    assert!(check_output(&at("taken.mp4"), true).is_ok());
    assert!(matches!(error("taken.mp4"), MediaError::Exists { .. }));
    assert!(matches!(
        check_output(&at("folder.mp4"), true),
        Err(MediaError::IsFolder { .. })
    ));
    assert!(matches!(
        error("missing/new.mp4"),
        MediaError::FolderMissing { .. }
    ));
    assert!(matches!(
        error("file/new.mp4"),
        MediaError::NotAFolder { .. }
    ));
    for name in ["new.avi", "new.webm", "new.mp4.gz", "new", "mp4"] {
        let error = error(name);
        assert!(
            matches!(error, MediaError::Extension { .. }),
            "{name}: {error}"
        );
        assert!(error.to_string().contains(".mp4"), "{error}");
    }
    assert_eq!(names_in(dir.path()).len(), 3, "a check leaves nothing");
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_refuses_files_is_named() {
    // /proc refuses new files to everyone, the superuser included.
    let error = check_output(Path::new("/proc/new.mp4"), false).unwrap_err();
    assert!(
        matches!(error, MediaError::FolderNotWritable { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("/proc"), "{error}");
}

#[test]
fn options_out_of_range_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clip.mp4");
    let create = |width, height, quality| {
        let options = VideoOptions {
            quality,
            ..VideoOptions::new(width, height, fps(16, 1))
        };
        VideoWriter::create(&path, options).map(drop)
    };
    for (width, height) in [
        (0, 0),
        (0, 64),
        (15, 64),
        (3841, 100),
        (3840, 2161),
        (2161, 2161),
        (100_000, 100_000),
    ] {
        let refused = create(width, height, 90);
        assert!(
            matches!(refused, Err(MediaError::FrameSize { .. })),
            "{width}x{height}: {refused:?}"
        );
    }
    assert!(matches!(
        create(64, 64, 101),
        Err(MediaError::Quality { found: 101 })
    ));
    for (width, height) in [(16, 16), (3840, 2160), (2160, 3840)] {
        assert!(create(width, height, 100).is_ok(), "{width}x{height}");
    }

    let mut video = VideoWriter::create(&path, VideoOptions::new(64, 64, fps(16, 1))).unwrap();
    let refused = video.push(&[0; 100]);
    assert!(
        matches!(
            refused,
            Err(MediaError::FrameLength {
                found: 100,
                expected: 12_288,
                ..
            })
        ),
        "{refused:?}"
    );
    video.push(&scene(64, 64, 0)).unwrap();
    assert_eq!(
        video.finish().unwrap().frames,
        1,
        "a refused frame does no harm"
    );
}

#[test]
fn the_smallest_and_the_largest_frames_work() {
    let dir = tempfile::tempdir().unwrap();
    for (width, height) in [(16, 16), (17, 18), (3840, 2160), (2160, 3840)] {
        let path = dir.path().join(format!("{width}x{height}.mp4"));
        let flat = [90, 120, 200].repeat((width * height) as usize);
        let mut video =
            VideoWriter::create(&path, VideoOptions::new(width, height, fps(16, 1))).unwrap();
        video.push(&flat).unwrap();
        let summary = video.finish().unwrap();
        let frames = frames_of(&path);
        assert_eq!(
            (frames[0].width, frames[0].height),
            (summary.width, summary.height)
        );
    }
}

#[test]
fn pure_noise_is_coded_too() {
    // Noise at the finest quality outgrows the encoder's buffers; what a model makes of too few
    // steps comes close to it.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("noise.mp4");
    let options = VideoOptions {
        quality: 100,
        ..VideoOptions::new(320, 180, fps(4, 1))
    };
    let mut video = VideoWriter::create(&path, options).unwrap();
    let mut state = 1u32;
    for _ in 0..6 {
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        });
        video
            .push(&noise.take(320 * 180 * 3).collect::<Vec<_>>())
            .unwrap();
    }
    assert_eq!(video.finish().unwrap().frames, 6);
    assert_eq!(frames_of(&path).len(), 6);
    tool("ffmpeg", &["-v", "warning", "-i"], &path);
}

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

#[test]
fn frames_are_written_as_png() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("frames/of/a/clip");
    prepare_frame_folder(&folder, false).unwrap();
    let path = frame_path(&folder, 7);
    assert_eq!(path.file_name().unwrap(), "00007.png");
    let rgb = scene(37, 21, 0);
    write_png(&path, 37, 21, &rgb, false).unwrap();
    let mut reader = png::Decoder::new(std::io::BufReader::new(fs::File::open(&path).unwrap()))
        .read_info()
        .unwrap();
    let mut back = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut back).unwrap();
    assert_eq!(
        (info.width, info.height, info.color_type),
        (37, 21, png::ColorType::Rgb)
    );
    assert_eq!(back, rgb);
    assert_eq!(names_in(&folder).len(), 1);

    assert!(matches!(
        write_png(&path, 37, 21, &rgb, false),
        Err(MediaError::Exists { .. })
    ));
    write_png(&path, 37, 21, &rgb, true).unwrap();
    assert!(matches!(
        write_png(&path, 37, 22, &rgb, true),
        Err(MediaError::FrameLength { .. })
    ));
    assert!(matches!(
        write_png(&path, 0, 0, &[], true),
        Err(MediaError::FrameSize { .. })
    ));
    write_png(&frame_path(&folder, 0), 37, 21, &rgb, false).unwrap();
    assert!(matches!(
        prepare_frame_folder(&folder, false),
        Err(MediaError::Exists { .. })
    ));
    assert!(prepare_frame_folder(&folder, true).is_ok());
    assert!(matches!(
        prepare_frame_folder(&path, false),
        Err(MediaError::NotAFolder { .. })
    ));
}

#[test]
fn what_a_killed_run_left_can_be_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(".kinora-Ab3xYz.tmp"), "").unwrap();
    fs::write(dir.path().join("kinora.tmp"), "").unwrap();
    assert_eq!(
        stale_temporaries(dir.path()).unwrap(),
        [dir.path().join(".kinora-Ab3xYz.tmp")]
    );
    assert!(is_temporary(".kinora-1.tmp".as_ref()) && !is_temporary("clip.mp4".as_ref()));
}
