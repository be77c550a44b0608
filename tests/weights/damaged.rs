//! Truncated and corrupt safetensors files: the one sentence that each gets.

use kinora::error::WeightsError;
use kinora::tensor::DType;
use kinora::weights::{Checkpoint, Extent};
use safetensors::Dtype;

use super::{file, open, reference_file};

/// The message that a broken file gets.
fn message(header: &str, data: &[u8]) -> String {
    open(file(header, data)).unwrap_err().to_string()
}

#[test]
fn truncated_files() {
    assert_eq!(
        open(vec![1, 2, 3]).unwrap_err().to_string(),
        "a.safetensors is 3 bytes long, but a safetensors file begins with 8 bytes of header length: it is truncated or not a safetensors file"
    );
    let mut long = u64::to_le_bytes(1 << 60).to_vec();
    long.push(b'{');
    assert_eq!(
        open(long).unwrap_err().to_string(),
        "a.safetensors: the header claims 1152921504606846976 bytes, more than the 100000000 bytes that safetensors allows: the file is corrupt or not a safetensors file"
    );
    let mut short = u64::to_le_bytes(1000).to_vec();
    short.extend_from_slice(b"{}");
    assert_eq!(
        open(short).unwrap_err().to_string(),
        "a.safetensors: the header claims 1000 bytes, but only 2 follow in the file: it is truncated; copy or download it again"
    );
    assert_eq!(
        message(
            r#"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}"#,
            &[0; 12]
        ),
        "a.safetensors: tensor \"a\" lies at 0..16 of the data, but the file holds only 12 bytes of data: it is truncated; copy or download it again"
    );
}

#[test]
fn every_prefix_of_a_file_is_refused() {
    let bytes = reference_file(&[("a", Dtype::F32, &[2, 3]), ("b", Dtype::F16, &[6])]);
    for len in 0..bytes.len() {
        assert!(open(bytes[..len].to_vec()).is_err(), "{len}");
    }
    assert!(open(bytes).is_ok());
}

/// Names, shapes and types are read of a file that ends anywhere behind its header; its data are
/// not.
#[test]
fn heads_are_enough_to_plan_with() {
    let bytes = reference_file(&[("a", Dtype::F32, &[2, 3]), ("b", Dtype::F16, &[6])]);
    let data = bytes.len() - 36;
    let head = |len: usize| {
        let bytes = bytes[..len].to_vec();
        Checkpoint::from_bytes_to("a.safetensors", bytes, "vae", Extent::Headers)
    };
    assert!(head(data - 1).is_err());
    for len in data..bytes.len() {
        let head = head(len).unwrap();
        assert_eq!(head.type_of("a", &[2, 3]).unwrap(), DType::F32);
        assert_eq!(head.type_of("b", &[6]).unwrap(), DType::F16);
        assert_eq!((head.tensor_bytes(), head.parameters()), (36, 12));
        assert_eq!(head.get("a", &[2, 3]).is_ok(), len >= data + 24);
        let rows = head.gather_rows("a", [2, 3], &[0]);
        assert_eq!(rows.is_ok(), len >= data + 24);
        let expected = "vae: a.safetensors ends before the data of tensor \"b\": what there is of it is enough to plan with, but a run needs the whole file; copy or download it again";
        for error in [
            head.get("b", &[6]).map(drop),
            head.get_any("b").map(drop),
            head.bytes_of("b").map(drop),
        ] {
            assert_eq!(error.unwrap_err().to_string(), expected);
        }
        assert!(head.check_data().is_err());
    }
    head(bytes.len()).unwrap().check_data().unwrap();
}

/// Scales that are cut off make nothing look like a number.
#[test]
fn scales_that_are_not_there_are_no_numbers() {
    let header = r#"{"a.weight":{"dtype":"F8_E4M3","shape":[2,2],"data_offsets":[0,4]},"a.scale_weight":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#;
    let bytes = file(header, &[0x38; 4]);
    assert!(open(bytes.clone()).is_err());
    let head = Checkpoint::from_bytes_to("a", bytes, "vae", Extent::Headers).unwrap();
    let view = head.get("a.weight", &[2, 2]).unwrap();
    assert!(view.to_f32().iter().all(|value| value.is_nan()));
}

#[test]
fn corrupt_headers() {
    for (header, data, expected) in [
        (
            r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#,
            12,
            "a.safetensors: tensor \"b\" begins at 4 of the data, inside tensor \"a\", which ends at 8: the offsets overlap and the file is corrupt",
        ),
        (
            r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}"#,
            12,
            "a.safetensors: bytes 4..8 of the data belong to no tensor: the header and the file do not match, and the file is corrupt",
        ),
        (
            r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#,
            12,
            "a.safetensors: bytes 4..12 of the data belong to no tensor: the header and the file do not match, and the file is corrupt",
        ),
        (
            r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
            8,
            "a.safetensors: tensor \"a\" is described twice: the file is corrupt",
        ),
        (
            r#"{"a":{"dtype":"F16","shape":[3,5],"data_offsets":[0,28]}}"#,
            28,
            "a.safetensors: tensor \"a\" of shape [3, 5] and type F16 needs 30 bytes, but its offsets 0..28 do not span as many: the file is corrupt",
        ),
        (
            r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[8,4]}}"#,
            8,
            "a.safetensors: tensor \"a\" of shape [1] and type F32 needs 4 bytes, but its offsets 8..4 do not span as many: the file is corrupt",
        ),
        (
            r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}"#,
            4,
            "a.safetensors: tensor \"a\" has shape [4294967296, 4294967296], whose size overflows: the file is corrupt",
        ),
    ] {
        assert_eq!(message(header, &vec![0; data]), expected);
    }
}

#[test]
fn headers_that_are_not_safetensors() {
    for header in [
        "",
        "[]",
        "{",
        "{} {}",
        "\u{0}\u{1}\u{2}\u{3}",
        r#"{"a":1}"#,
        r#"{"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}"#,
        r#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#,
        r#"{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}"#,
        r#"{"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}}"#,
        r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}"#,
        r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}"#,
        r#"{"a":{"dtype":"F32","shape":[1]}}"#,
        r#"{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#,
        r#"{"__metadata__":{"a":1}}"#,
    ] {
        let error = message(header, &[0; 4]);
        assert!(
            error.starts_with("a.safetensors: the header is not valid safetensors JSON (")
                && error.ends_with("): the file is corrupt"),
            "{header}: {error}"
        );
    }
    let invalid_utf8 = b"{\"\xff\":1}";
    let mut bytes = u64::to_le_bytes(invalid_utf8.len() as u64).to_vec();
    bytes.extend_from_slice(invalid_utf8);
    assert!(matches!(open(bytes), Err(WeightsError::HeaderJson { .. })));
}

#[test]
fn every_damaged_byte_of_a_header_is_survived() {
    let bytes = reference_file(&[("a", Dtype::F32, &[2, 3]), ("b", Dtype::F16, &[6])]);
    let header = bytes.len() - 36;
    for at in 0..header {
        for value in [0, b'"', b'9', b'}', 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] = value;
            // Whatever still parses must still be safe to read.
            if let Ok(checkpoint) = open(damaged) {
                for name in checkpoint.names() {
                    let _ = checkpoint.get_any(name).map(|view| view.to_f32());
                }
            }
        }
    }
}

/// What often lies in the place of a file that was to be downloaded is called by its name.
#[test]
fn pointers_and_pages_are_no_damaged_files() {
    let pointer =
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 134\n".to_vec();
    let page = b"<!DOCTYPE html>\n<html><head><title>Sign in</title>".to_vec();
    for (bytes, words) in [(pointer, "git-lfs pointer"), (page, "web page")] {
        for file in ["a.safetensors", "a.gguf", "a.pth"] {
            let error = Checkpoint::from_bytes(file, bytes.clone(), "vae").unwrap_err();
            assert!(matches!(error, WeightsError::NotTheFile { .. }), "{error}");
            let text = error.to_string();
            assert!(text.starts_with(file) && text.contains(words), "{text}");
        }
        let folder = tempfile::tempdir().unwrap();
        let index = folder.path().join("model.safetensors.index.json");
        std::fs::write(&index, &bytes).unwrap();
        let error = Checkpoint::open(&index, "vae").unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}
