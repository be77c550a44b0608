//! Blocks and 8-bit floats, read and written as the gguf package and torch do it.

use std::path::Path;

use kinora::tensor::{DType, f8_e4m3};
use kinora::weights::{Checkpoint, Piece, Renamed, TensorView};
use safetensors::SafeTensors;

/// `tests/fixtures/oracle/element_types.py` made it.
fn fixture() -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/parts");
    std::fs::read(folder.join("element_types.safetensors")).unwrap()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    let words = bytes.as_chunks().0.iter();
    words.map(|&word| f32::from_le_bytes(word)).collect()
}

#[test]
fn blocks_hold_what_the_gguf_package_finds_in_them() {
    let file = fixture();
    let file = SafeTensors::deserialize(&file).unwrap();
    for dtype in DType::ALL
        .into_iter()
        .filter(|dtype| dtype.format().gguf.is_some() && dtype.block() > 1)
    {
        let blocks = file.tensor(&format!("{dtype}.read.blocks")).unwrap();
        let expected = floats(file.tensor(&format!("{dtype}.read.values")).unwrap().data());
        let shape = [blocks.shape()[0], dtype.block()];
        assert_eq!(blocks.data().len(), dtype.bytes(shape[0] * shape[1]));
        let found = TensorView::new("w", dtype, &shape, blocks.data()).to_f32();
        assert_eq!(found.len(), expected.len());
        for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
            // -0 and 0 are the same weight.
            assert!(found == expected, "{dtype} {at}: {found} and {expected}");
        }
        assert!(found.iter().any(|&value| value.abs() > 0.1), "{dtype}");
    }
}

#[test]
fn values_become_the_bytes_of_the_gguf_package_and_of_torch() {
    let file = fixture();
    let file = SafeTensors::deserialize(&file).unwrap();
    let values = floats(file.tensor("values").unwrap().data());
    let eighths: Vec<u8> = values
        .iter()
        .map(|&value| f8_e4m3::from_f32(value))
        .collect();
    let blocks = [
        DType::Q8_0,
        DType::Q5_1,
        DType::Q5_0,
        DType::Q4_1,
        DType::Q4_0,
    ];
    let blocks = blocks.map(|dtype| (dtype, (dtype.format().write)(&values)));
    for (dtype, found) in blocks.into_iter().chain([(DType::F8E4M3, eighths)]) {
        let expected = file.tensor(&format!("{dtype}.written")).unwrap();
        assert_eq!(found, expected.data(), "{dtype}");
    }
}

/// The relative error that ggml's `quantize_row_TYPE_ref` leaves (at d99724f2, built by itself) in the
/// fixture's numbers, which are spread as trained ones are.
const ERRORS: [(DType, f64); 4] = [
    (DType::IQ4_NL, 0.091129),
    (DType::IQ4_XS, 0.091334),
    (DType::Q3_K, 0.183462),
    (DType::Q2_K, 0.362814),
];

#[test]
fn types_of_few_bits_lose_no_more_than_in_ggml() {
    let file = fixture();
    let file = SafeTensors::deserialize(&file).unwrap();
    let values = floats(file.tensor("trained").unwrap().data());
    for (dtype, bound) in ERRORS {
        let mut read = Vec::new();
        (dtype.format().read)(&(dtype.format().write)(&values), &mut read);
        let square = |value: f32| f64::from(value).powi(2);
        let lost: f64 = values.iter().zip(&read).map(|(a, b)| square(a - b)).sum();
        let all: f64 = values.iter().copied().map(square).sum();
        let error = (lost / all).sqrt();
        println!("{dtype}: {error:.6}, ggml {bound}");
        assert!(error < 1.01 * bound, "{dtype}: {error}, in ggml {bound}");
    }
}

#[test]
fn scales_are_nothing_or_one_for_all_or_one_a_row() {
    // 1, 1.5, -2, 448
    let bytes = [0x38, 0x3c, 0xc0, 0x7e];
    let view = |scales: &[f32]| TensorView {
        scales: scales.to_vec(),
        ..TensorView::new("w", DType::F8E4M3, &[2, 2], &bytes[..])
    };
    assert_eq!(view(&[]).to_f32(), [1.0, 1.5, -2.0, 448.0]);
    assert_eq!(view(&[0.1]).to_f32(), [0.1, 0.1 * 1.5, -0.2, 0.1 * 448.0]);
    assert_eq!(view(&[0.5, 3.0]).to_f32(), [0.5, 0.75, -6.0, 1344.0]);
}

/// A file of tensors: name, type, shape, bytes.
fn file(tensors: &[(&str, &str, &[usize], &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    let mut header = serde_json::Map::new();
    for &(name, dtype, shape, bytes) in tensors {
        let offsets = [body.len(), body.len() + bytes.len()];
        let entry = serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": offsets});
        header.insert(name.to_owned(), entry);
        body.extend_from_slice(bytes);
    }
    let header = serde_json::Value::Object(header).to_string();
    super::file(&header, &body)
}

#[test]
fn matrices_have_the_scales_that_lie_beside_them() {
    let (half, three) = (0.5_f32.to_le_bytes(), 3.0_f32.to_le_bytes());
    let rows = [half, three].concat();
    let eighths: &[u8] = &[0x38, 0x3c, 0xc0, 0x7e];
    let bytes = file(&[
        ("m.a.weight", "F8_E4M3", &[2, 2], eighths),
        ("m.a.scale_weight", "F32", &[], &three),
        ("m.a.scale_input", "F32", &[1], &half),
        ("m.a.bias", "F32", &[1], &half),
        ("m.b.weight", "F8_E4M3", &[2, 2], eighths),
        ("m.b.weight_scale", "F32", &[2, 1], &rows),
        ("m.b.comfy_quant", "U8", &[2], b"{}"),
        ("m.c.weight", "F8_E4M3", &[4], eighths),
        ("m.scaled_fp8", "F8_E4M3", &[0], &[]),
    ]);
    let checkpoint = Checkpoint::from_bytes("a.safetensors", bytes, "transformer").unwrap();
    let names: Vec<&str> = checkpoint.names().collect();
    assert_eq!(
        names,
        ["m.a.weight", "m.a.bias", "m.b.weight", "m.c.weight"]
    );
    let values = |name, shape: &[usize]| checkpoint.get(name, shape).unwrap().to_f32();
    assert_eq!(values("m.a.weight", &[2, 2]), [3.0, 4.5, -6.0, 1344.0]);
    assert_eq!(values("m.b.weight", &[2, 2]), [0.5, 0.75, -6.0, 1344.0]);
    assert_eq!(values("m.c.weight", &[4]), [1.0, 1.5, -2.0, 448.0]);
    let gathered = checkpoint.gather_rows("m.b.weight", [2, 2], &[1, 0]);
    assert_eq!(gathered.unwrap(), [-6.0, 1344.0, 0.5, 0.75]);

    // Under other names, and of some rows.
    let renamed = checkpoint.renamed(&|name, _| match name {
        "m.b.weight" => Piece::named("second").rows(1..2).into(),
        _ => Renamed::Kept,
    });
    let second = renamed.unwrap();
    let second = second.get("second", &[1, 2]).unwrap().to_f32();
    assert_eq!(second, [-6.0, 1344.0]);
}

#[test]
fn scales_of_another_number_than_rows_are_refused() {
    let bytes = file(&[
        ("a.weight", "F8_E4M3", &[2, 2], &[0; 4]),
        ("a.weight_scale", "F32", &[3], &[0; 12]),
    ]);
    let error = Checkpoint::from_bytes("a.safetensors", bytes, "transformer").unwrap_err();
    assert_eq!(
        error.to_string(),
        "transformer: tensor \"a.weight_scale\" of a.safetensors has shape [3], but the scales of \"a.weight\" are one number, or 2, one a row; other kinds of scaled files are not read"
    );
}
