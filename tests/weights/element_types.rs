//! Blocks and 8-bit floats, read and written as the gguf package and torch do it.

use std::path::Path;

use kinora::tensor::{DType, f8_e4m3, q4_0, q8_0};
use kinora::weights::TensorView;
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
    for dtype in DType::ALL.into_iter().filter(|dtype| dtype.block() > 1) {
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
    for (name, found) in [
        ("Q8_0", q8_0::quantize(&values)),
        ("Q4_0", q4_0::quantize(&values)),
        ("F8_E4M3", eighths),
    ] {
        let expected = file.tensor(&format!("{name}.written")).unwrap();
        assert_eq!(found, expected.data(), "{name}");
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
