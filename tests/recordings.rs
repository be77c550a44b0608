//! Recordings and where liveness places their tensors. No device.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use kinora::ops::matmul::{Epilogue, matmul};
use kinora::record::{Caps, Command, Kind, Pack, Recorder, Recording, place};
use kinora::tensor::DType;

/// A chain of linear layers with a residual over two of them.
fn chain(caps: &Caps, rows: usize, width: usize) -> Recording {
    let mut rec = Recorder::new(caps);
    let x = rec.input("x", [rows, width], DType::F32).expect("x");
    let mut h = x;
    for layer in 0..6 {
        let name = format!("w{layer}");
        let w = rec
            .weight(&name, [width, width], DType::BF16, Pack::Matrix)
            .expect("w");
        let wide = matmul(&mut rec, &h, &w, Epilogue::None, None).expect("wide");
        h = matmul(&mut rec, &wide, &w, Epilogue::Residual(&h), None).expect("h");
    }
    let y = rec.output("y", [rows, width], DType::F32).expect("y");
    rec.copy((&h, 0), (&y, 0), h.bytes());
    rec.finish()
}

#[test]
fn no_command_reads_and_writes_one_buffer() {
    let recording = chain(&Caps::least(), 33, 20);
    let placement = place(&recording);
    for command in &recording.commands {
        let tensors = command.tensors();
        for (i, (a, access)) in tensors.iter().enumerate() {
            for (b, other) in &tensors[i + 1..] {
                let (at, bt) = (
                    placement.buffer_of[a.0 as usize],
                    placement.buffer_of[b.0 as usize],
                );
                let both_read = *access == kinora::shader::Access::Read && access == other;
                assert!(
                    both_read || at.is_none() || at != bt || a == b,
                    "{recording}"
                );
            }
        }
    }
}

#[test]
fn tensors_alive_at_once_have_their_own_buffers_and_the_rest_share() {
    let recording = chain(&Caps::least(), 64, 64);
    let placement = place(&recording);
    let intermediates = recording
        .iter()
        .filter(|(_, info)| info.kind == Kind::Intermediate)
        .count();
    assert_eq!(intermediates, 12);
    // The residual, the wide tensor and the one being written.
    assert_eq!(placement.buffers, vec![64 * 64 * 4; 3]);
}

#[test]
fn rows_beyond_a_binding_are_split_at_aligned_windows() {
    let caps = Caps {
        max_binding_bytes: 1 << 20,
        ..Caps::least()
    };
    let (rows, width) = (1000, 512);
    let mut rec = Recorder::new(&caps);
    let x = rec.input("x", [rows, width], DType::F32).expect("x");
    let w = rec
        .weight("w", [64, width], DType::F32, Pack::Matrix)
        .expect("w");
    matmul(&mut rec, &x, &w, Epilogue::None, None).expect("fits in windows");
    let recording = rec.finish();
    assert_eq!(recording.commands.len(), 2);
    let mut next = 0;
    for command in &recording.commands {
        let Command::Dispatch(dispatch) = command else {
            panic!("{command:?}")
        };
        let window = dispatch.bindings[0].window.clone().expect("a window");
        assert_eq!(window.start, next);
        assert_eq!(window.start % 256, 0);
        assert!(window.end - window.start <= caps.max_binding_bytes);
        next = window.end;
    }
    assert_eq!(next, (rows * width * 4) as u64);
}

#[test]
fn shapes_that_do_not_match_are_named() {
    let caps = Caps::least();
    let mut rec = Recorder::new(&caps);
    let x = rec.input("x", [10, 2048], DType::F32).expect("x");
    let w = rec
        .weight("w", [5120, 1536], DType::F16, Pack::Matrix)
        .expect("w");
    let error = matmul(&mut rec, &x, &w, Epilogue::None, None).expect_err("refused");
    assert_eq!(
        error.to_string(),
        "matmul: x is [10, 2048], expected f32 or f16 [.., 1536] to match w [5120, 1536]"
    );
    let again = rec
        .input("x", [10, 4], DType::F32)
        .expect_err("another shape");
    assert!(again.to_string().contains("`x`"), "{again}");
}

#[test]
fn a_recording_prints_every_command() {
    let recording = chain(&Caps::least(), 3, 8);
    assert_eq!(
        recording.to_string().lines().count(),
        recording.commands.len()
    );
}
