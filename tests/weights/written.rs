//! Parts written in other element types and read back: shards, scales, GGUF, and what is left of
//! a conversion that stops.

use std::fs;
use std::path::Path;

use kinora::error::Error;
use kinora::model_files::ModelFolder;
use kinora::model_files::convert::convert;
use kinora::model_files::matrices::is_block_matrix;
use kinora::model_files::names::Naming;
use kinora::tensor::DType;
use kinora::weights::{Checkpoint, Container, Written};

fn fixture() -> ModelFolder {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/wan21/model");
    ModelFolder::open(folder).unwrap()
}

/// The values of every tensor, by name.
fn values(checkpoint: &Checkpoint) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let mut all: Vec<_> = checkpoint
        .names()
        .map(|name| {
            let view = checkpoint.get_any(name).unwrap();
            (name.to_owned(), view.shape.to_vec(), view.to_f32())
        })
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

fn rounded(checkpoint: &Checkpoint, dtype: DType) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let mut all = values(checkpoint);
    for (name, shape, values) in &mut all {
        let view = checkpoint.get(name, shape).unwrap();
        if shape.len() == 2
            && let Some(narrow) = view.quantized(dtype)
        {
            *values = narrow.to_f32();
        }
    }
    all
}

#[test]
fn parts_are_read_back_in_every_type() {
    let part = fixture().checkpoint("transformer").unwrap();
    for dtype in DType::targets() {
        for written in [
            Written::Safetensors { shard: 1 << 40 },
            Written::Safetensors { shard: 20_000 },
            Written::Gguf {
                architecture: "wan",
                named: str::to_owned,
            },
        ] {
            let gguf = matches!(written, Written::Gguf { .. });
            if gguf == (dtype.block() == 1) && dtype != DType::BF16 {
                continue;
            }
            let dir = tempfile::tempdir().unwrap();
            let target = |_: &str, shape: &[usize], own| if shape.len() == 2 { dtype } else { own };
            let mut told = 0;
            let mut step = |bytes| {
                told += bytes;
                true
            };
            part.write_as((dir.path(), "model"), written, &target, &mut step)
                .unwrap();
            assert_eq!(told, part.bytes_as(&target).unwrap());
            let read = Checkpoint::open(dir.path(), "transformer").unwrap();
            assert_eq!(values(&read), rounded(&part, dtype), "{dtype} {written:?}");
            let files = read.files().len();
            let shards = matches!(written, Written::Safetensors { shard: 20_000 });
            assert_eq!(files > 1, shards, "{files} files, {dtype} {written:?}");
            let container = read.containers().next().unwrap();
            assert_eq!(container == Container::Gguf, gguf);
        }
    }
}

/// A transformer in GGUF is what ComfyUI looks for: Wan's own names, and its architecture.
#[test]
fn a_converted_transformer_has_the_names_of_the_release() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("small");
    convert(&fixture(), DType::Q8_0, &out, &mut |_| true).unwrap();
    let raw = Checkpoint::open(out.join("transformer"), "transformer").unwrap();
    assert_eq!(raw.metadata()["general.architecture"], "wan");
    for name in [
        "patch_embedding.weight",
        "time_projection.1.weight",
        "blocks.1.self_attn.norm_q.weight",
        "blocks.1.cross_attn.o.bias",
        "blocks.1.norm3.weight",
        "blocks.1.ffn.2.weight",
        "blocks.0.modulation",
        "head.modulation",
        "head.head.weight",
    ] {
        assert!(raw.contains(name), "{name}");
    }
    let foreign = |name: &&str| name.contains("attn1") || name.contains("scale_shift_table");
    assert_eq!(raw.names().find(foreign), None);
    let read = ModelFolder::open(&out).unwrap();
    let (names, read) = read.open_part("transformer").unwrap();
    assert_eq!(names.unwrap().naming, Naming::Original);
    let own = fixture().checkpoint("transformer").unwrap();
    let own = own.quantized(DType::Q8_0, is_block_matrix);
    assert_eq!(values(&read), values(&own));
}

#[test]
fn types_that_are_there_are_copied_with_their_scales() {
    let part = fixture().checkpoint("transformer").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let to =
        |dtype| move |_: &str, shape: &[usize], own| if shape.len() == 2 { dtype } else { own };
    let written = Written::Safetensors { shard: 1 << 40 };
    let first = (dir.path(), "first");
    part.write_as(first, written, &to(DType::F8E4M3), &mut |_| true)
        .unwrap();
    let path = dir.path().join("first.safetensors");
    let once = Checkpoint::open(&path, "transformer").unwrap();
    once.write_as(
        (dir.path(), "second"),
        written,
        &to(DType::F8E4M3),
        &mut |_| true,
    )
    .unwrap();
    let second = dir.path().join("second.safetensors");
    let twice = Checkpoint::open(&second, "transformer").unwrap();
    assert_eq!(values(&twice), values(&once));
    assert_eq!(
        fs::read(path).unwrap().len(),
        fs::read(second).unwrap().len()
    );
}

#[test]
fn a_conversion_that_stops_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    for stop_after in [0, 1, 30] {
        let mut told = 0;
        let result = convert(&fixture(), DType::Q8_0, &out, &mut |converted| {
            assert!(converted.done <= converted.total);
            told += 1;
            told <= stop_after
        });
        assert!(matches!(result, Err(Error::Cancelled)));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
    let nowhere = dir.path().join("no/such/folder");
    let error = convert(&fixture(), DType::Q8_0, &nowhere, &mut |_| true).unwrap_err();
    assert!(error.to_string().contains("cannot be written"), "{error}");
    let there = dir.path().to_owned();
    let error = convert(&fixture(), DType::Q8_0, &there, &mut |_| true).unwrap_err();
    let said = format!(
        "{} exists already: name a folder that does not exist, or remove this one",
        there.display()
    );
    assert_eq!(error.to_string(), said);
}
