//! Frames to write, and what reads them back.

use super::*;

pub(super) type Entries = Vec<(String, String)>;

/// A frame with a gradient in every channel, a moving square of saturated colour and fine texture:
/// nothing in it is symmetric.
pub(super) fn scene(width: u32, height: u32, t: u32) -> Vec<u8> {
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
pub(super) fn sky(width: u32, height: u32, t: u32) -> Vec<u8> {
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

pub(super) fn fps(numerator: u32, denominator: u32) -> FrameRate {
    FrameRate::new(numerator, denominator).unwrap()
}

pub(super) fn write(path: &Path, options: VideoOptions, frames: u32) -> VideoSummary {
    let (width, height) = (options.width, options.height);
    let mut video = VideoWriter::create(path, options).unwrap();
    for t in 0..frames {
        video.push(&scene(width, height, t)).unwrap();
    }
    video.finish().unwrap()
}

pub(super) fn frames_of(path: &Path) -> Vec<Frame> {
    decode(path).unwrap().collect::<Result<_, _>>().unwrap()
}

pub(super) fn psnr(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    let square = |(&a, &b): (&u8, &u8)| (f64::from(a) - f64::from(b)).powi(2);
    let mse = a.iter().zip(b).map(square).sum::<f64>() / a.len() as f64;
    10.0 * (255.0 * 255.0 / mse.max(1e-12)).log10()
}

/// The output of a program, or `None` with a note where it is not installed.
pub(super) fn tool(program: &str, args: &[&str], file: &Path) -> Option<String> {
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

pub(super) fn after_input(program: &str) -> &'static [&'static str] {
    match program {
        "ffmpeg" => &["-f", "null", "-"],
        _ => &[],
    }
}

pub(super) fn names_in(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect()
}

/// Where each outermost box begins, and its name.
pub(super) fn outermost_boxes(bytes: &[u8]) -> Vec<(usize, String)> {
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
