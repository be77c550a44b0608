//! Checkpoints and latents: what is read, and the one sentence that a broken file gets.
#![expect(clippy::unwrap_used, reason = "a test's helper fails by panicking")]
#![allow(unreachable_pub, reason = "the modules of a test program are its own")]

#[path = "weights/gguf.rs"]
mod gguf;
#[path = "weights/torch.rs"]
mod torch;

#[path = "weights/element_types.rs"]
mod element_types;

#[path = "weights/runs.rs"]
mod runs;
#[path = "weights/written.rs"]
mod written;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use half::{bf16, f16};
use kinora::error::WeightsError;
use kinora::tensor::DType;
use kinora::weights::{Checkpoint, Container, Latents, Piece, Renamed, combined_fingerprint};
use safetensors::{Dtype, SafeTensors};

/// A safetensors file of this header and data.
fn file(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(data);
    bytes
}

fn open(bytes: Vec<u8>) -> Result<Checkpoint, WeightsError> {
    Checkpoint::from_bytes("a.safetensors", bytes, "vae")
}

/// The message that a broken file gets.
fn message(header: &str, data: &[u8]) -> String {
    open(file(header, data)).unwrap_err().to_string()
}

/// f32 values that are exact in both 16-bit formats.
const VALUES: [f32; 6] = [0.0, 1.0, -2.5, 0.15625, 96.0, -0.0];

/// A file made by the reference implementation of the format: `name` → VALUES as `dtype`.
fn reference_file(tensors: &[(&str, Dtype, &[usize])]) -> Vec<u8> {
    let bytes: Vec<(String, Vec<u8>, Dtype, Vec<usize>)> = tensors
        .iter()
        .map(|&(name, dtype, shape)| {
            let bytes = VALUES.iter().flat_map(|&value| match dtype {
                Dtype::F16 => f16::from_f32(value).to_le_bytes().to_vec(),
                Dtype::BF16 => bf16::from_f32(value).to_le_bytes().to_vec(),
                Dtype::I64 => (value as i64).to_le_bytes().to_vec(),
                _ => value.to_le_bytes().to_vec(),
            });
            (name.to_owned(), bytes.collect(), dtype, shape.to_vec())
        })
        .collect();
    let views = bytes.iter().map(|(name, bytes, dtype, shape)| {
        let view = safetensors::tensor::TensorView::new(*dtype, shape.clone(), bytes).unwrap();
        (name.clone(), view)
    });
    safetensors::serialize(views, None).unwrap()
}

#[test]
fn tensors_are_read_in_every_float_type() {
    let bytes = reference_file(&[
        ("a", Dtype::F32, &[2, 3]),
        ("b", Dtype::F16, &[6]),
        ("c", Dtype::BF16, &[1, 3, 2]),
    ]);
    let checkpoint = open(bytes).unwrap();
    for (name, dtype, shape) in [
        ("a", DType::F32, &[2, 3][..]),
        ("b", DType::F16, &[6]),
        ("c", DType::BF16, &[1, 3, 2]),
    ] {
        let view = checkpoint.get(name, shape).unwrap();
        assert_eq!((view.name, view.dtype, view.shape), (name, dtype, shape));
        assert_eq!(view.bytes.len(), 6 * dtype.size());
        assert_eq!(view.to_f32(), VALUES);
        assert_eq!(checkpoint.dtype_of(name), Some(dtype));
        assert_eq!(checkpoint.shape_of(name), Some(shape));
    }
    assert_eq!(checkpoint.parameters(), 18);
    assert_eq!(checkpoint.tensor_bytes(), 48);
    assert_eq!(checkpoint.dtypes().get("BF16"), Some(&(1, 12)));
}

#[test]
fn bytes_may_lie_at_any_alignment() {
    let bytes = reference_file(&[("a", Dtype::F32, &[2, 3])]);
    for shift in 0..4 {
        let mut shifted = vec![0; shift];
        shifted.extend_from_slice(&bytes);
        let shifted: &'static [u8] = &shifted.leak()[shift..];
        let checkpoint = Checkpoint::from_bytes("embedded", shifted, "vae").unwrap();
        assert_eq!(checkpoint.get("a", &[2, 3]).unwrap().to_f32(), VALUES);
    }
    // The format allows a tensor at an odd offset too.
    let header = r#"{"u":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}}"#;
    let checkpoint = open(file(header, &[7, 0, 0, 128, 63])).unwrap();
    assert_eq!(checkpoint.get("a", &[1]).unwrap().to_f32(), [1.0]);
}

#[test]
fn every_half_is_widened_exactly() {
    let bits: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    for (dtype, widen) in [
        (
            "F16",
            (|bits| f16::from_bits(bits).to_f32()) as fn(u16) -> f32,
        ),
        ("BF16", |bits| f32::from_bits(u32::from(bits) << 16)),
    ] {
        let header =
            format!(r#"{{"a":{{"dtype":"{dtype}","shape":[65536],"data_offsets":[0,131072]}}}}"#);
        let checkpoint = open(file(&header, &bits)).unwrap();
        let values = checkpoint.get("a", &[65536]).unwrap().to_f32();
        for (bits, value) in (0..=u16::MAX).zip(values) {
            let expected = widen(bits);
            assert!(
                value.to_bits() == expected.to_bits() || (value.is_nan() && expected.is_nan()),
                "{bits:04x}"
            );
        }
    }
}

#[test]
fn rows_of_a_table_are_gathered() {
    let checkpoint = open(reference_file(&[("t", Dtype::BF16, &[3, 2])])).unwrap();
    let rows = checkpoint.gather_rows("t", [3, 2], &[2, 0, 2]).unwrap();
    assert_eq!(rows, [96.0, -0.0, 0.0, 1.0, 96.0, -0.0]);
    assert!(checkpoint.gather_rows("t", [3, 2], &[]).unwrap().is_empty());
    assert_eq!(
        checkpoint
            .gather_rows("t", [3, 2], &[0, 3])
            .unwrap_err()
            .to_string(),
        "vae: row 3 of \"t\" was asked for, but it has 3 rows; the tokenizer and the weights are not of the same model"
    );
}

#[test]
fn what_nobody_asked_for_is_reported() {
    let checkpoint = open(reference_file(&[
        ("decoder.a", Dtype::F32, &[6]),
        ("decoder.b", Dtype::F32, &[6]),
        ("encoder.a", Dtype::F32, &[6]),
    ]))
    .unwrap();
    checkpoint.get("decoder.a", &[6]).unwrap();
    assert!(checkpoint.contains("decoder.b"));
    assert_eq!(checkpoint.unread(), ["decoder.b", "encoder.a"]);
    assert_eq!(
        checkpoint
            .check_all_read(&["encoder."])
            .unwrap_err()
            .to_string(),
        "vae: a.safetensors holds 1 tensors that this model does not use (\"decoder.b\"); the configuration and the weights are not of the same model"
    );
    checkpoint.get("decoder.b", &[6]).unwrap();
    checkpoint.check_all_read(&["encoder."]).unwrap();
}

#[test]
fn a_tensor_that_does_not_fit_is_named() {
    let checkpoint = open(reference_file(&[
        ("blocks.0.attn1.to_q.weight", Dtype::F32, &[2, 3]),
        ("blocks.0.attn1.to_k.weight", Dtype::F32, &[2, 3]),
        ("position", Dtype::I64, &[6]),
    ]))
    .unwrap();
    let error = |name: &str, shape: &[usize]| checkpoint.get(name, shape).unwrap_err().to_string();
    assert_eq!(
        error("blocks.0.attn1.to_q.weight", &[3, 2]),
        "vae: tensor \"blocks.0.attn1.to_q.weight\" of a.safetensors has shape [2, 3], but config.json asks for [3, 2]; the configuration and the weights are not of the same model"
    );
    assert_eq!(
        error("blocks.0.attn1.to_v.weight", &[3, 2]),
        "vae: a.safetensors holds no tensor \"blocks.0.attn1.to_v.weight\"; the nearest names are \"blocks.0.attn1.to_k.weight\" and \"blocks.0.attn1.to_q.weight\""
    );
    assert_eq!(error("x", &[1]), "vae: a.safetensors holds no tensor \"x\"");
    assert_eq!(
        error("position", &[6]),
        "vae: tensor \"position\" of a.safetensors is I64, but weights must be F32, F16, BF16, F8_E4M3, Q8_0, Q4_0, Q4_K, Q5_K or Q6_K; convert the checkpoint"
    );
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
    fs::copy(gguf::fixture("nested.pth"), dir.path().join("x.bin")).unwrap();
    assert!(opened("x.bin"));
    fs::copy(gguf::fixture("every_type.gguf"), dir.path().join("x.gguf")).unwrap();
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
fn a_fingerprint_is_of_the_bytes() {
    let of = |bytes: Vec<u8>| {
        Checkpoint::from_bytes("x", bytes, "vae")
            .unwrap()
            .fingerprint()
    };
    let header = r#"{"a":{"dtype":"F32","shape":[1000000],"data_offsets":[0,4000000]}}"#;
    let mut data = vec![0; 4_000_000];
    let zeros = of(file(header, &data));
    assert_eq!(zeros.len(), 64);
    assert_eq!(zeros, of(file(header, &data)));
    data[3_999_999] = 1;
    let last = of(file(header, &data));
    assert_ne!(zeros, last);
    assert_ne!(last, of(file(&header.replace("\"a\"", "\"b\""), &data)));
    assert_ne!(
        combined_fingerprint([("vae", "1"), ("transformer", "2")]),
        combined_fingerprint([("vae", "2"), ("transformer", "1")])
    );
}

#[test]
fn a_fingerprint_of_a_large_file_is_quick() {
    // A sparse file: 16 GB that take no space.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    let data = 1u64 << 34;
    let header = format!(
        r#"{{"a":{{"dtype":"F32","shape":[{}],"data_offsets":[0,{data}]}}}}"#,
        data / 4
    );
    fs::write(&path, file(&header, &[])).unwrap();
    let sparse = fs::File::options().write(true).open(&path).unwrap();
    if sparse.set_len(8 + header.len() as u64 + data).is_err() {
        return; // A file system without sparse files.
    }
    let begun = std::time::Instant::now();
    let checkpoint = Checkpoint::open(&path, "transformer").unwrap();
    assert_eq!(checkpoint.fingerprint().len(), 64);
    assert!(begun.elapsed().as_secs_f64() < 1.0, "{:?}", begun.elapsed());
}

pub(crate) fn some_latents() -> Latents {
    let shape = [1, 2, 3, 4, 5];
    Latents {
        shape,
        values: (0..120u8).map(|i| f32::from(i) / 7.0 - 3.0).collect(),
        metadata: BTreeMap::from([
            ("prompt".to_owned(), "a \"red\" kite, 风筝".to_owned()),
            ("seed".to_owned(), "7".to_owned()),
        ]),
    }
}

#[test]
fn latents_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("l.safetensors");
    let latents = some_latents();
    latents.write(&path).unwrap();
    let first = fs::read(&path).unwrap();
    assert_eq!(Latents::read(&path).unwrap(), latents);
    // Replaced, equal to the byte, and no temporary file is left.
    latents.write(&path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), first);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    // The reference implementation of the format reads the same.
    let reference = SafeTensors::deserialize(&first).unwrap();
    let tensor = reference.tensor("latents").unwrap();
    assert_eq!(
        (tensor.dtype(), tensor.shape()),
        (Dtype::F32, &latents.shape[..])
    );
    assert_eq!(
        tensor.data(),
        bytemuck::cast_slice::<f32, u8>(&latents.values)
    );
    let (_, metadata) = SafeTensors::read_metadata(&first).unwrap();
    assert_eq!(metadata.metadata().as_ref().unwrap().len(), 2);
}

#[test]
fn latents_that_are_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("l.safetensors");
    let shown = path.display().to_string();
    let error = || {
        Latents::read(&path)
            .unwrap_err()
            .to_string()
            .replace(&shown, "L")
    };
    assert_eq!(error(), "latents: L does not exist");
    fs::write(&path, reference_file(&[("samples", Dtype::F32, &[6])])).unwrap();
    assert_eq!(
        error(),
        "L holds no tensor named latents (it holds samples); Kinora's --save-latents writes one"
    );
    fs::write(
        &path,
        reference_file(&[("latents", Dtype::F32, &[1, 1, 3, 2])]),
    )
    .unwrap();
    assert_eq!(
        error(),
        "L: latents has shape [1, 1, 3, 2], expected [1, C, T, h, w] with no zero"
    );
    fs::write(
        &path,
        reference_file(&[("latents", Dtype::F32, &[2, 1, 1, 3, 1])]),
    )
    .unwrap();
    assert_eq!(
        error(),
        "L: latents has shape [2, 1, 1, 3, 1], expected [1, C, T, h, w] with no zero"
    );
    let mut latents = some_latents();
    latents.values[5] = f32::NAN;
    latents.values[7] = f32::INFINITY;
    latents.write(&path).unwrap();
    assert_eq!(
        error(),
        "L: 2 of the 120 values of latents are NaN or infinite; the run that made them went wrong"
    );
    latents.values.pop();
    assert_eq!(
        latents
            .write(&path)
            .unwrap_err()
            .to_string()
            .replace(&shown, "L"),
        "L: shape [1, 2, 3, 4, 5] does not hold 119 values"
    );
    let nowhere = dir.path().join("no").join("l.safetensors");
    let error = some_latents().write(&nowhere).unwrap_err();
    assert!(matches!(error, WeightsError::Write { .. }), "{error}");
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

/// A file of one fused matrix, a scale and two others, under the model's names.
fn renamed(pieces: &dyn Fn(&str) -> Renamed) -> Result<Checkpoint, WeightsError> {
    let bytes = reference_file(&[
        ("qkv", Dtype::F16, &[3, 2]),
        ("norm.gamma", Dtype::F32, &[6]),
        ("kept", Dtype::F32, &[6]),
        ("ema", Dtype::F32, &[6]),
    ]);
    open(bytes).unwrap().renamed(&|name, _| match name {
        "kept" => Renamed::Kept,
        name => pieces(name),
    })
}

#[test]
fn tensors_are_asked_for_by_the_models_names() {
    let checkpoint = renamed(&|name| match name {
        "qkv" => Renamed::As(
            (0..3)
                .map(|at| Piece::named(format!("to_{at}")).rows(at..at + 1))
                .collect(),
        ),
        "norm.gamma" => Piece::named("norm").shaped([6, 1]).into(),
        _ => Renamed::Dropped,
    })
    .unwrap();
    let mut names: Vec<&str> = checkpoint.names().collect();
    names.sort_unstable();
    assert_eq!(names, ["kept", "norm", "to_0", "to_1", "to_2"]);
    assert_eq!(
        checkpoint.get("to_1", &[1, 2]).unwrap().to_f32(),
        VALUES[2..4]
    );
    assert_eq!(checkpoint.get("norm", &[6, 1]).unwrap().to_f32(), VALUES);
    assert_eq!(checkpoint.get("kept", &[6]).unwrap().to_f32(), VALUES);
    assert_eq!(checkpoint.file_name_of("to_2"), Some("qkv"));
    assert_eq!(checkpoint.file_name_of("kept"), Some("kept"));
    assert_eq!(checkpoint.unread(), ["to_0", "to_2"]);
    assert_eq!(
        checkpoint.get("norm", &[6]).unwrap_err().to_string(),
        "vae: tensor \"norm\" (\"norm.gamma\" in the file) of a.safetensors has shape [6, 1], but config.json asks for [6]; the configuration and the weights are not of the same model"
    );
}

#[test]
fn names_that_do_not_fit_the_file_are_refused() {
    let dropped = |name: &str, wanted: &str, piece: Piece| match name == wanted {
        true => piece.into(),
        false => Renamed::Dropped,
    };
    for (piece, expected) in [
        (Piece::named("x").rows(2..4), "rows 2..4"),
        (Piece::named("x").shaped([5]), "shape [5]"),
        (Piece::named("x").rows(0..1).shaped([3, 2]), "shape [3, 2]"),
    ] {
        let error = renamed(&|name| dropped(name, "qkv", piece.clone())).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "vae: tensor \"qkv\" of a.safetensors has shape [3, 2], which does not become \"x\" of {expected}; the file is not of the layout that its names say"
            )
        );
    }
    let error = renamed(&|name| match name {
        "qkv" => Renamed::to("kept"),
        _ => Renamed::Dropped,
    })
    .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("\"kept\"")
            && text.contains("\"qkv\"")
            && text.ends_with("it mixes two layouts"),
        "{text}"
    );
}
