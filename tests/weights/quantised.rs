//! Matrices in 8 and 4 bits with scales, as ComfyUI and optimum-quanto store them, and what is not
//! read of such.

use std::path::{Path, PathBuf};

use kinora::tensor::DType;
use kinora::weights::{Checkpoint, Extent, Piece, Renamed};

/// `tests/fixtures/oracle/quantised.py` made them.
fn fixture(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/parts");
    folder.join(format!("{name}.safetensors"))
}

#[test]
fn numbers_are_those_that_the_formats_define() {
    let found = Checkpoint::open(fixture("quantised"), "transformer").unwrap();
    let expected = Checkpoint::open(fixture("quantised_expected"), "transformer").unwrap();
    let mut names: Vec<&str> = found.names().collect();
    let mut of_expected: Vec<&str> = expected.names().collect();
    names.sort_unstable();
    of_expected.sort_unstable();
    assert_eq!(names, of_expected);
    for (name, dtype) in [
        ("int8_rows.weight", DType::I8),
        ("int8_one.weight", DType::I8),
        ("rotated.weight", DType::F32),
        ("rotated64.weight", DType::F32),
        ("e5m2.weight", DType::F8E5M2),
        ("e5m2_scaled.weight", DType::F8E5M2),
        ("nvfp4.weight", DType::NVFP4),
        ("quanto.weight", DType::I8),
        ("quanto8.weight", DType::F8E4M3),
    ] {
        let shape = expected.shape_of(name).unwrap();
        assert_eq!(found.type_of(name, shape).unwrap(), dtype, "{name}");
        let view = found.get(name, shape).unwrap();
        assert_eq!(view.dtype, dtype, "{name}");
        let expected = expected.get(name, shape).unwrap().to_f32();
        for (at, (found, expected)) in view.to_f32().iter().zip(&expected).enumerate() {
            // A factor of a matrix may be rounded before or after that of a row.
            let apart = (found - expected).abs();
            assert!(
                apart <= expected.abs() * 1.2e-7,
                "{name} {at}: {found} and {expected}"
            );
        }
        let sizes = expected.iter().map(|value| value.abs());
        assert!(sizes.fold(0.0, f32::max) > 1e-3, "{name}");
    }
    found.check_all_read(&[]).unwrap();
}

#[test]
fn rows_are_taken_with_what_lies_beside_them() {
    let names = [
        "int8_rows.weight",
        "rotated.weight",
        "nvfp4.weight",
        "quanto.weight",
    ];
    let expected = Checkpoint::open(fixture("quantised_expected"), "transformer").unwrap();
    for name in names {
        let shape = expected.shape_of(name).unwrap();
        let [rows, columns] = [shape[0], shape[1]];
        let found = Checkpoint::open(fixture("quantised"), "transformer").unwrap();
        let last = found.renamed(&|stored, shape| match stored == name {
            true => Piece::named("last").rows(shape[0] - 2..shape[0]).into(),
            false => Renamed::Kept,
        });
        let last = last.unwrap();
        let last = last.get("last", &[2, columns]).unwrap().to_f32();
        let all = expected.get(name, shape).unwrap().to_f32();
        for (found, expected) in last.iter().zip(&all[(rows - 2) * columns..]) {
            assert!(
                (found - expected).abs() <= expected.abs() * 1.2e-7,
                "{name}"
            );
        }
    }
}

/// A file of tensors: name, type, shape, bytes; and text beside them.
fn file(tensors: &[(&str, &str, &[usize], &[u8])], metadata: Option<&str>) -> Vec<u8> {
    let mut body = Vec::new();
    let mut header = serde_json::Map::new();
    for &(name, dtype, shape, bytes) in tensors {
        let offsets = [body.len(), body.len() + bytes.len()];
        let entry = serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": offsets});
        header.insert(name.to_owned(), entry);
        body.extend_from_slice(bytes);
    }
    if let Some(text) = metadata {
        let text = serde_json::json!({"_quantization_metadata": text});
        header.insert("__metadata__".to_owned(), text);
    }
    let header = serde_json::Value::Object(header).to_string();
    super::file(&header, &body)
}

fn open(
    tensors: &[(&str, &str, &[usize], &[u8])],
    metadata: Option<&str>,
) -> Result<Checkpoint, String> {
    let bytes = file(tensors, metadata);
    let opened = Checkpoint::from_bytes("a.safetensors", bytes, "transformer");
    opened.map_err(|error| error.to_string())
}

#[test]
fn marks_of_the_header_count_as_those_beside_the_matrix() {
    let half = 0.5_f32.to_le_bytes();
    let tensors: [(&str, &str, &[usize], &[u8]); 2] = [
        ("model.blocks.0.q.weight", "I8", &[1, 4], &[1, 2, 3, 253]),
        ("model.blocks.0.q.weight_scale", "F32", &[], &half),
    ];
    let read = |metadata: &str| {
        let checkpoint = open(&tensors, Some(metadata))?;
        let view = checkpoint.get("model.blocks.0.q.weight", &[1, 4]);
        view.map(|view| view.to_f32())
            .map_err(|error| error.to_string())
    };
    let plain = r#"{"layers":{"blocks.0.q":{"format":"int8_tensorwise"}}}"#;
    assert_eq!(read(plain).unwrap(), [0.5, 1.0, 1.5, -1.5]);
    let rotated = r#"{"layers":{"model.blocks.0.q":{"format":"int8_tensorwise","convrot":true,"convrot_groupsize":4}}}"#;
    // (1, 2, 3, -3) times the matrix is (9, -3, -1, 1), its root 2.
    assert_eq!(read(rotated).unwrap(), [2.25, -0.75, -0.25, 0.25]);
    let error = read("[]").unwrap_err();
    assert!(
        error.contains("_quantization_metadata of a.safetensors"),
        "{error}"
    );
}

#[test]
fn what_is_not_read_is_called_by_its_name() {
    type Tensors<'a> = &'a [(&'a str, &'a str, &'a [usize], &'a [u8])];
    let one = 1.0_f32.to_le_bytes();
    let eighths: &[u8] = &[0x38; 32];
    let half: &[u8] = &[0x38; 512];
    let refused: [(Tensors<'_>, &str); 13] = [
        (
            &[
                ("a.weight", "F8_E4M3", &[1, 32], eighths),
                ("a.weight_scale", "U8", &[1, 1], &[127]),
            ],
            "MXFP8",
        ),
        (
            &[
                ("a.weight", "F8_E4M3", &[1, 32], eighths),
                ("a.comfy_quant", "U8", &[18], br#"{"format":"mxfp8"}"#),
            ],
            "MXFP8",
        ),
        (
            &[
                ("a.weight", "U8", &[32, 1], eighths),
                ("a.weight.absmax", "F32", &[1], &one),
                ("a.weight.quant_state.bitsandbytes__nf4", "U8", &[2], b"{}"),
            ],
            "bitsandbytes",
        ),
        (
            &[
                ("a.weight", "I8", &[1, 32], eighths),
                ("a.SCB", "F32", &[1], &one),
            ],
            "int8 of bitsandbytes",
        ),
        (
            &[
                ("a.weight", "U8", &[1, 32], eighths),
                ("a.weight_scale", "F8_E4M3", &[128, 4], half),
                ("a.weight_scale_2", "F32", &[], &one),
            ],
            "NVFP4 without ComfyUI's mark",
        ),
        (
            &[
                ("a.weight", "U8", &[1, 32], eighths),
                ("a.weight_scale", "F8_E4M3", &[1, 4], &[0x38; 4]),
                ("a.weight_scale_2", "F32", &[], &one),
                ("a.comfy_quant", "U8", &[18], br#"{"format":"nvfp4"}"#),
            ],
            "in whole tiles of 128 by 4",
        ),
        (
            &[
                ("a.weight", "I8", &[1, 32], eighths),
                ("a.weight_scale", "F32", &[], &one),
                (
                    "a.comfy_quant",
                    "U8",
                    &[43],
                    br#"{"format":"int8_tensorwise","convrot":true}"#,
                ),
            ],
            "rotated in groups of 256",
        ),
        (
            &[
                ("a.weight", "I8", &[1, 32], eighths),
                ("a.weight_scale", "F32", &[], &one),
                (
                    "a.comfy_quant",
                    "U8",
                    &[27],
                    br#"{"format":"int8_blockwise"}"#,
                ),
            ],
            "int8_blockwise",
        ),
        (
            &[
                ("a.weight", "I8", &[1, 32], eighths),
                ("a.weight_scale", "F32", &[], &one),
                ("a.comfy_quant", "U8", &[17], br#"{"hadamard":true}"#),
            ],
            "\"hadamard\" is \"true\"",
        ),
        (
            &[
                ("a.weight._data", "U8", &[1, 32], eighths),
                ("a.weight._scale", "F32", &[], &one),
            ],
            "qint4 or qint2",
        ),
        (
            &[("a.weight._data", "I8", &[1, 32], eighths)],
            "a.weight._scale",
        ),
        (
            &[
                ("a.weight", "F8_E4M3", &[1, 32], eighths),
                ("a.weight_scale_inv", "F32", &[1, 1], &one),
            ],
            "128 by 128",
        ),
        (&[("a.qweight", "I32", &[1, 8], eighths)], "GPTQ or AWQ"),
    ];
    for (tensors, named) in refused {
        let error = open(tensors, None).unwrap_err();
        assert!(error.contains(named), "{named}: {error}");
        assert!(error.contains("take the model's file in bf16"), "{error}");
    }
}

/// The lists of `docs/using.md` are of what is read, and only that.
#[test]
fn the_documents_name_every_type() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/using.md");
    let readme = std::fs::read_to_string(path).unwrap();
    let line = |start: &str| readme.lines().find(|line| line.starts_with(start)).unwrap();
    let listed = line("| GGUF, mixed in any way |")
        .split('|')
        .nth(2)
        .unwrap();
    let mut listed: Vec<&str> = listed.split(',').map(str::trim).collect();
    let all = DType::WEIGHTS.into_iter();
    let mut read: Vec<&str> = all
        .filter(|dtype| dtype.format().gguf.is_some())
        .map(DType::name)
        .collect();
    listed.sort_unstable();
    read.sort_unstable();
    assert_eq!(listed, read);
    let others = line("| safetensors, `.pth` |");
    for dtype in DType::WEIGHTS {
        let format = dtype.format();
        assert!(
            !format.safetensors || others.contains(dtype.name()),
            "{dtype}"
        );
    }
}

#[test]
fn int8_without_scales_is_no_weight() {
    let checkpoint = open(&[("a.weight", "I8", &[1, 4], &[1, 2, 3, 4])], None).unwrap();
    let error = checkpoint.get("a.weight", &[1, 4]).unwrap_err().to_string();
    assert!(error.contains("is I8, but weights must be"), "{error}");
    assert!(error.contains("I8 with scales"), "{error}");
}

/// Whether int8 is rotated, and so how much memory it takes, is told by bytes behind the head.
#[test]
fn a_head_alone_does_not_tell_how_int8_is_meant() {
    let mark = br#"{"format":"int8_tensorwise"}"#;
    let bytes = file(
        &[
            ("a.weight", "I8", &[1, 4], &[1, 2, 3, 4]),
            ("a.weight_scale", "F32", &[], &[0, 0, 128, 63]),
            ("a.comfy_quant", "U8", &[mark.len()], mark),
        ],
        None,
    );
    let head = bytes[..bytes.len() - 4].to_vec();
    let error = Checkpoint::from_bytes_to("a", head, "transformer", Extent::Headers).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("ends before the data of tensor \"a.comfy_quant\""),
        "{error}"
    );
}
