//! What the coded pictures look like when they come back.

use super::*;

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
