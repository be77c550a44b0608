//! Checkpoints and latents: what is read, and the one sentence that a broken file gets.
#![expect(clippy::unwrap_used, reason = "a test's helper fails by panicking")]
#![allow(unreachable_pub, reason = "the modules of a test program are its own")]

#[path = "harness/archive.rs"]
mod archive;
#[path = "weights/damaged.rs"]
mod damaged;
#[path = "weights/element_types.rs"]
mod element_types;
#[path = "weights/folders.rs"]
mod folders;
#[path = "weights/gguf.rs"]
mod gguf;
#[path = "weights/latents.rs"]
mod latents;
#[path = "weights/quantised.rs"]
mod quantised;
#[path = "weights/renamed.rs"]
mod renamed;
#[path = "weights/runs.rs"]
mod runs;
#[path = "weights/torch.rs"]
mod torch;
#[path = "weights/written.rs"]
mod written;

use std::fs;

use half::{bf16, f16};
use kinora::error::WeightsError;
use kinora::tensor::DType;
use kinora::weights::{Checkpoint, combined_fingerprint};
use safetensors::Dtype;

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
        "vae: tensor \"position\" of a.safetensors is I64, but weights must be F32, F16, BF16, F8_E4M3, F8_E5M2, I8 with scales, Q8_0, Q6_K, Q5_1, Q5_0, Q5_K, Q4_1, Q4_0, Q4_K, IQ4_NL, IQ4_XS, Q3_K, Q2_K or NVFP4; take a file of the model in one of these"
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
