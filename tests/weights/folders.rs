//! Which files of a folder are read, and several files as one checkpoint.

use std::fs;
use std::path::Path;

use kinora::error::WeightsError;
use kinora::weights::{Checkpoint, Container};
use safetensors::Dtype;

use super::gguf::fixture;
use super::{VALUES, reference_file};

/// Two shards and their index in `dir`.
fn shards(dir: &Path, index: &str) {
    fs::write(
        dir.join("m-1.safetensors"),
        reference_file(&[("a", Dtype::F32, &[6])]),
    )
    .unwrap();
    fs::write(
        dir.join("m-2.safetensors"),
        reference_file(&[("b", Dtype::BF16, &[6])]),
    )
    .unwrap();
    fs::write(dir.join("m.safetensors.index.json"), index).unwrap();
}

#[test]
fn shards_are_one_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    shards(
        dir.path(),
        r#"{"metadata":{"total_size":36},"weight_map":{"a":"m-1.safetensors","b":"m-2.safetensors"}}"#,
    );
    let checkpoint = Checkpoint::open(dir.path(), "transformer").unwrap();
    assert_eq!(checkpoint.get("a", &[6]).unwrap().to_f32(), VALUES);
    assert_eq!(checkpoint.get("b", &[6]).unwrap().to_f32(), VALUES);
    assert_eq!(checkpoint.files().len(), 2);
    checkpoint.check_all_read(&[]).unwrap();
}

#[test]
fn indices_that_do_not_match() {
    let dir = tempfile::tempdir().unwrap();
    let index = dir
        .path()
        .join("m.safetensors.index.json")
        .display()
        .to_string();
    for (weight_map, expected) in [
        (
            r#"{"weight_map":{"a":"m-1.safetensors","b":"m-3.safetensors"}}"#,
            "I names the shard \"m-3.safetensors\", which is not beside it; download it too",
        ),
        (
            r#"{"weight_map":{"a":"m-2.safetensors","b":"m-2.safetensors"}}"#,
            "I says that tensor \"a\" is in \"m-2.safetensors\", which does not hold it: the index and the shards are not of the same model",
        ),
        (
            r#"{"weight_map":{"a":"../m-1.safetensors"}}"#,
            "I is not a valid safetensors index: \"../m-1.safetensors\" is not the name of a file beside it",
        ),
        (
            r#"{"weight_map":{}}"#,
            "I is not a valid safetensors index: its weight_map is empty",
        ),
        (
            "{}",
            "I is not a valid safetensors index: missing field `weight_map` at line 1 column 2",
        ),
    ] {
        shards(dir.path(), weight_map);
        let error = Checkpoint::open(dir.path(), "transformer")
            .unwrap_err()
            .to_string();
        assert_eq!(error.replace(&index, "I"), expected);
    }
}

#[test]
fn a_tensor_in_two_shards_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    shards(
        dir.path(),
        r#"{"weight_map":{"a":"m-1.safetensors","b":"m-2.safetensors"}}"#,
    );
    let both = reference_file(&[("a", Dtype::F32, &[6]), ("b", Dtype::F32, &[6])]);
    fs::write(dir.path().join("m-2.safetensors"), both).unwrap();
    let error = Checkpoint::open(dir.path(), "transformer").unwrap_err();
    assert!(matches!(error, WeightsError::InTwoShards { .. }), "{error}");
}

#[test]
fn folders() {
    let dir = tempfile::tempdir().unwrap();
    let shown = dir.path().display().to_string();
    let error = |path: &Path| {
        Checkpoint::open(path, "vae")
            .unwrap_err()
            .to_string()
            .replace(&shown, "D")
    };
    assert_eq!(error(&dir.path().join("no")), "vae: D/no does not exist");
    assert_eq!(
        error(dir.path()),
        "vae: D holds no file of weights; Kinora reads .safetensors, .gguf and torch's .pth"
    );
    let opened = |name: &str| {
        let checkpoint = Checkpoint::open(dir.path(), "vae").unwrap();
        checkpoint.origin().ends_with(name)
    };
    fs::copy(fixture("nested.pth"), dir.path().join("x.bin")).unwrap();
    assert!(opened("x.bin"));
    fs::copy(fixture("every_type.gguf"), dir.path().join("x.gguf")).unwrap();
    assert!(opened("x.gguf"));
    let bytes = reference_file(&[("a", Dtype::F32, &[6])]);
    fs::write(dir.path().join("x.safetensors"), &bytes).unwrap();
    assert!(opened("x.safetensors"));
    fs::write(dir.path().join("y.safetensors"), &bytes).unwrap();
    assert_eq!(
        error(dir.path()),
        "vae: D holds several files of weights (x.safetensors, y.safetensors) and none is named diffusion_pytorch_model.safetensors or model.safetensors; name the file itself, or add the index that names the shards"
    );
    fs::write(dir.path().join("model.safetensors"), &bytes).unwrap();
    assert!(opened("model.safetensors"));
    fs::write(dir.path().join("empty.safetensors"), "").unwrap();
    assert!(
        error(&dir.path().join("empty.safetensors"))
            .starts_with("D/empty.safetensors is 0 bytes long")
    );
}

#[test]
fn files_become_one_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let paths = ["a", "b"].map(|name| {
        let path = dir.path().join(name);
        fs::write(&path, reference_file(&[(name, Dtype::F32, &[6])])).unwrap();
        path
    });
    let checkpoint = Checkpoint::open_files(&paths, "vae").unwrap();
    assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(checkpoint.get("b", &[6]).unwrap().to_f32(), VALUES);
    let containers: Vec<Container> = checkpoint.containers().collect();
    assert_eq!(containers, [Container::Safetensors; 2]);
    let twice = Checkpoint::open_files([&paths[0], &paths[0]], "vae").unwrap_err();
    assert!(matches!(twice, WeightsError::InTwoShards { .. }), "{twice}");
}
