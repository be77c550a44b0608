//! Where results go: temporary files, names, permissions, what is refused before work begins.

use super::*;

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

#[test]
fn a_stream_gets_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clip.mp4");
    let options = VideoOptions::new(32, 32, fps(16, 1));
    write(&path, options.clone(), 3);
    let mut video = VideoWriter::unnamed("the stream".as_ref(), options.clone()).unwrap();
    for t in 0..3 {
        video.push(&scene(32, 32, t)).unwrap();
    }
    let mut stream = Vec::new();
    let summary = video.finish_into(&mut stream).unwrap();
    assert_eq!(stream, fs::read(&path).unwrap());
    assert!(summary.to_string().starts_with("the stream: 32x32"));
    // Planes that lack their last row are refused, and named by their frame.
    let mut video = VideoWriter::unnamed("the stream".as_ref(), options).unwrap();
    let (luma, chroma) = (vec![16; 32 * 32], vec![128; 16 * 16]);
    let planes = |luma| YuvPlanes {
        strides: [32, 16],
        y: luma,
        cb: &chroma,
        cr: &chroma,
    };
    video.push_yuv420(planes(&luma)).unwrap();
    let error = video.push_yuv420(planes(&luma[32..])).unwrap_err();
    assert!(
        matches!(error, MediaError::FrameLength { frame: 1, .. }),
        "{error}"
    );
}
