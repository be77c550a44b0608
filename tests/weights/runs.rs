//! Unfinished runs on disk.

use std::fs;
use std::sync::Arc;

use kinora::weights::{Latents, RunProgress, RunState, SolverState};

use super::latents::some_latents;

fn some_run() -> RunState {
    RunState {
        progress: RunProgress::Steps(SolverState {
            encoded: Arc::default(),
            shape: [1, 2, 1, 3, 4],
            steps_done: 7,
            tensors: [0.5, -1.0, f32::NAN, 0.0].map(|value| vec![value; 24]),
        }),
        metadata: some_latents().metadata,
    }
}

#[test]
fn runs_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.kinora-state");
    let part = some_run();
    let nothing = RunState {
        progress: RunProgress::Nothing,
        ..part.clone()
    };
    let all = RunState {
        progress: RunProgress::All(some_latents()),
        ..part.clone()
    };
    for state in [&nothing, &part, &all] {
        state.write(&path).unwrap();
        // In bits, since a run that went wrong is no other run.
        let read = RunState::read(&path).unwrap();
        assert_eq!(format!("{read:?}"), format!("{state:?}"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
    // Once sampling is done, it is a file of latents.
    assert_eq!(Latents::read(&path).unwrap().values, some_latents().values);
    RunState::remove(&path).unwrap();
    RunState::remove(&path).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn no_changed_byte_of_a_run_is_overlooked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.kinora-state");
    some_run().write(&path).unwrap();
    let whole = fs::read(&path).unwrap();
    let same = format!("{:?}", some_run());
    for at in 0..whole.len() {
        for bit in [0, 3, 7] {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            if let Ok(read) = RunState::from_bytes("A", bytes) {
                // JSON may be written in other ways.
                assert_eq!(format!("{read:?}"), same, "byte {at}, bit {bit}");
            }
        }
        assert!(RunState::from_bytes("A", whole[..at].to_vec()).is_err());
    }
    some_latents().write(&path).unwrap();
    let foreign = RunState::from_bytes("A", fs::read(&path).unwrap()).unwrap_err();
    assert_eq!(
        foreign.to_string(),
        "A cannot be resumed: it is no run that Kinora saved"
    );
}
