//! Pictures and clips to start from: every kind of file against Pillow's pixels, other sizes against
//! Pillow and PyTorch, what CLIP sees against transformers; refused files, each with its sentence.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "pictures/clips.rs"]
mod clips;

use std::path::{Path, PathBuf};

use kinora::pictures::{
    ClipView, Filter, Fit, Picture, best_size, clip_input, floor_size, pixels, read_picture,
    resample, stretch_plain,
};
use kinora::weights::Checkpoint;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/parts/pictures")
}

/// The pixels that the reference found, by the names in `oracle/pictures.py`.
fn expected() -> safetensors::tensor::SafeTensors<'static> {
    let bytes = std::fs::read(folder().join("expected.safetensors")).unwrap();
    safetensors::SafeTensors::deserialize(Box::leak(bytes.into_boxed_slice())).unwrap()
}

/// The picture of `oracle/pictures.py`.
fn picture([width, height]: [usize; 2]) -> Picture {
    let value = |n: usize| ((n as u32 + 1).wrapping_mul(2_654_435_761) >> 24) as u8;
    Picture {
        width,
        height,
        rgb: (0..width * height * 3).map(value).collect(),
    }
}

/// `60x44` as two numbers.
fn size(text: &str) -> [usize; 2] {
    let (width, height) = text.split_once('x').unwrap();
    [width.parse().unwrap(), height.parse().unwrap()]
}

/// The largest difference of two pictures, and how many values differ.
fn apart(name: &str, found: &[u8], expected: &[u8]) -> (u8, usize) {
    assert_eq!(found.len(), expected.len(), "{name}");
    let differences = found.iter().zip(expected).map(|(a, b)| a.abs_diff(*b));
    let largest = differences.clone().max().unwrap();
    (largest, differences.filter(|&d| d > 0).count())
}

#[test]
fn other_sizes_are_pillows() {
    let expected = expected();
    let mut seen = 0;
    for (name, tensor) in expected.tensors() {
        let parts: Vec<&str> = name.split('.').collect();
        let filter = match parts[0] {
            "lanczos" => Filter::Lanczos,
            "bicubic" => Filter::Bicubic,
            _ => continue,
        };
        let (from, to) = (size(parts[1]), size(parts[2]));
        let found = resample(&picture(from).rgb, from, to, filter);
        assert_eq!(apart(&name, &found, tensor.data()), (0, 0), "{name}");
        seen += 1;
    }
    assert_eq!(seen, 12);
}

#[test]
fn a_picture_is_covered_contained_or_stretched() {
    let expected = expected();
    let mut seen = 0;
    for (name, tensor) in expected.tensors() {
        let parts: Vec<&str> = name.split('.').collect();
        let fit = match parts[0] {
            "cover" => Fit::Cover,
            "contain" => Fit::Contain,
            "stretch" => Fit::Stretch,
            _ => continue,
        };
        let (from, to) = (size(parts[1]), size(parts[2]));
        let found = picture(from).fitted(to, fit);
        assert_eq!([found.width, found.height], to);
        assert_eq!(apart(&name, &found.rgb, tensor.data()), (0, 0), "{name}");
        if from == to {
            assert_eq!(found, picture(from), "{name}");
        }
        seen += 1;
    }
    assert_eq!(seen, 12);
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes
        .as_chunks()
        .0
        .iter()
        .map(|&b| f32::from_le_bytes(b))
        .collect()
}

/// The largest difference.
fn distance(name: &str, found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len(), "{name}");
    let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, f32::max)
}

#[test]
fn a_plain_stretch_is_pytorchs() {
    let expected = expected();
    let mut seen = 0;
    for (name, tensor) in expected.tensors() {
        let parts: Vec<&str> = name.split('.').collect();
        if parts[0] != "plain" {
            continue;
        }
        let (from, to) = (size(parts[1]), size(parts[2]));
        let found = stretch_plain(&pixels(&picture(from).rgb), from, to);
        let off = distance(&name, &found, &floats(tensor.data()));
        assert!(off < 2e-5, "{name}: {off:e}");
        seen += 1;
    }
    assert_eq!(seen, 6);
}

#[test]
fn clip_sees_what_the_reference_shows_it() {
    let expected = expected();
    let mut seen = 0;
    for (name, tensor) in expected.tensors() {
        let parts: Vec<&str> = name.split('.').collect();
        let view = match parts[0] {
            "crop" => ClipView::Crop,
            "stretched" => ClipView::Stretch,
            _ => continue,
        };
        let side: usize = parts[2].parse().unwrap();
        let found = clip_input(&picture(size(parts[1])), side, view);
        let off = distance(&name, &found, &floats(tensor.data()));
        // A level of 8 bits is 0.015.
        assert!(off < 1e-4, "{name}: {off:e}");
        seen += 1;
    }
    assert_eq!(seen, 6);
}

#[test]
fn a_clip_takes_its_size_from_the_picture() {
    let text = std::fs::read(folder().join("sizes.json")).unwrap();
    let cases: Vec<serde_json::Value> = serde_json::from_slice(&text).unwrap();
    assert_eq!(cases.len(), 8);
    for case in cases {
        let pair = |name: &str| {
            let side = |at: usize| case[name][at].as_u64().unwrap() as usize;
            [side(0), side(1)]
        };
        let own = pair("own");
        assert_eq!(best_size(own, 32, 704 * 1280), pair("ti2v"), "{own:?}");
        assert_eq!(floor_size(own, 16, 480 * 832), pair("i2v_480"), "{own:?}");
        assert_eq!(floor_size(own, 16, 720 * 1280), pair("i2v_720"), "{own:?}");
    }
    // A strip stays a clip.
    assert_eq!(best_size([16_384, 16], 32, 4096), [2048, 32]);
    assert_eq!(floor_size([16, 16_384], 16, 4096), [16, 2048]);
}

/// Names of files, and how far two decoders of a lossy one may be apart.
const FILES: [(&str, u8); 20] = [
    ("rgb.png", 0),
    ("rgba.png", 1),
    ("grey.png", 0),
    ("grey_alpha.png", 1),
    ("palette.png", 0),
    ("palette_alpha.png", 1),
    ("grey16.png", 1),
    ("rgb.jpg", 3),
    ("grey.jpg", 3),
    ("turned1.jpg", 3),
    ("turned2.jpg", 3),
    ("turned3.jpg", 3),
    ("turned4.jpg", 3),
    ("turned5.jpg", 3),
    ("turned6.jpg", 3),
    ("turned7.jpg", 3),
    ("turned8.jpg", 3),
    ("lossless.webp", 0),
    ("alpha.webp", 1),
    ("rgb.webp", 3),
];

#[test]
fn files_of_every_kind() {
    let expected = expected();
    for (name, bound) in FILES {
        let tensor = expected.tensor(name).unwrap();
        let (found, hash) = read_picture(&folder().join(name)).unwrap();
        assert_eq!([found.height, found.width, 3], *tensor.shape(), "{name}");
        let (largest, _) = apart(name, &found.rgb, tensor.data());
        assert!(largest <= bound, "{name}: {largest} levels");
        assert_eq!(hash.len(), 64, "{name}");
    }
}

fn sentence(path: &Path) -> String {
    match read_picture(path) {
        Ok((picture, _)) => panic!("{}x{}", picture.width, picture.height),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_is_no_picture_has_its_sentence() {
    for (name, expected) in [
        (
            "cmyk.jpg",
            "is a JPEG in CMYK, for print, expected a picture in RGB",
        ),
        (
            "animated.webp",
            "is an animated WebP, expected a still picture;",
        ),
        (
            "animated.png",
            "is an animated PNG, expected a still picture;",
        ),
        ("picture.gif", "is not a picture: it begins with GIF8"),
        ("sizes.json", "is not a picture: it begins with [{"),
        (
            "one.png",
            "has 1x1 pixels, expected 16 to 16384 along each side",
        ),
        ("large.png", "has 20000x20000 pixels, expected 16 to 16384"),
        ("absent.png", "cannot read "),
        ("..", "is a folder, expected a file with a picture"),
    ] {
        let found = sentence(&folder().join(name));
        assert!(found.contains(expected), "{name}: {found}");
    }
    let place = tempfile::tempdir().unwrap();
    let empty = place.path().join("empty.png");
    std::fs::write(&empty, b"").unwrap();
    assert!(sentence(&empty).contains("is not a picture: it begins with nothing"));
}

/// A file that ends anywhere is an error, or, beyond what its pixels need, the whole picture.
#[test]
fn truncated_pictures_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("cut");
    for name in ["rgba.png", "rgb.jpg", "alpha.webp"] {
        let bytes = std::fs::read(folder().join(name)).unwrap();
        let (whole, _) = read_picture(&folder().join(name)).unwrap();
        let mut refused = 0;
        for length in 0..bytes.len() {
            std::fs::write(&path, &bytes[..length]).unwrap();
            match read_picture(&path) {
                Ok((found, _)) => {
                    assert!(
                        length + 16 >= bytes.len(),
                        "{name}: {length} bytes are enough"
                    );
                    assert_eq!(found, whole, "{name}, {length} bytes");
                }
                Err(error) => {
                    refused += 1;
                    let text = error.to_string();
                    let good = ["is damaged or cut short", "is not a picture"];
                    assert!(good.iter().any(|good| text.contains(good)), "{text}");
                }
            }
        }
        assert!(refused + 16 >= bytes.len(), "{name}: {refused}");
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_is_not_waited_for() {
    let place = tempfile::tempdir().unwrap();
    let pipe = place.path().join("pipe.png");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    assert!(sentence(&pipe).contains("is a pipe or a device, expected a file"));
    let error = kinora::pictures::read_clip(&pipe, None).unwrap_err();
    assert!(
        error.to_string().contains("is a pipe or a device"),
        "{error}"
    );
}

/// The checkpoint reader is not asked for pictures: a tensor's name is none.
#[test]
fn weights_are_no_picture() {
    let file = folder().join("expected.safetensors");
    assert!(Checkpoint::open(&file, "pictures").is_ok());
    assert!(sentence(&file).contains("is not a picture"));
}
