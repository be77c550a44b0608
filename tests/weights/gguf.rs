//! GGUF files as gguf-py writes them, and what a broken header gets.

use std::path::{Path, PathBuf};

use kinora::tensor::DType;
use kinora::weights::{Checkpoint, Container, Extent, GgufHeader, GgufValue};

/// A file of `tests/fixtures/parts/containers`.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures/parts/containers")
        .join(name)
}

fn open(bytes: Vec<u8>) -> Result<Checkpoint, String> {
    Checkpoint::from_bytes("a.gguf", bytes, "transformer").map_err(|error| error.to_string())
}

#[test]
fn every_type_is_read_as_gguf_py_reads_it() {
    let checkpoint = Checkpoint::open(fixture("every_type.gguf"), "transformer").unwrap();
    let expected = Checkpoint::open(fixture("every_type.safetensors"), "expected").unwrap();
    assert_eq!(
        checkpoint.containers().collect::<Vec<_>>(),
        [Container::Gguf]
    );
    assert_eq!(checkpoint.names().len(), expected.names().len());
    let mut refused = Vec::new();
    for name in expected.names() {
        let expected = expected.get_any(name).unwrap();
        assert_eq!(checkpoint.shape_of(name), Some(expected.shape), "{name}");
        let Some(dtype) = checkpoint.dtype_of(name) else {
            let error = checkpoint.get_any(name).unwrap_err().to_string();
            let kind = name.split('.').nth(2).unwrap();
            let says = format!("is {kind}, but weights must be");
            assert!(error.contains(&says), "{error}");
            refused.push(kind);
            continue;
        };
        let view = checkpoint.get(name, expected.shape).unwrap();
        let exact = !matches!(dtype.name(), "Q4_K" | "Q5_K");
        for (value, expected) in view.to_f32().iter().zip(expected.to_f32()) {
            // gguf-py rounds the two products of these types before it subtracts.
            let bound = if exact { 0.0 } else { 1e-6 };
            assert!((value - expected).abs() <= bound, "{name}");
        }
    }
    // Its blocks lie across the rows of its own shape.
    assert_eq!(checkpoint.dtype_of("reshaped.weight"), Some(DType::F32));
    assert_eq!(refused, ["IQ3_S"]);
    let metadata = checkpoint.metadata();
    for (key, value) in [
        ("general.architecture", "wan"),
        ("test.uint8", "200"),
        ("test.int8", "-100"),
        ("test.uint16", "60000"),
        ("test.int16", "-30000"),
        ("test.uint32", "4000000000"),
        ("test.int32", "-2000000000"),
        ("test.uint64", "9223372036854775809"),
        ("test.int64", "-4611686018427387904"),
        ("test.float32", "0.15625"),
        ("test.float64", "-2.5"),
        ("test.bool", "true"),
        ("test.string", "电影 \"film\""),
    ] {
        assert_eq!(metadata.get(key).map(String::as_str), Some(value), "{key}");
    }
}

/// The beginning of a version 3 file of so many tensors and keys.
fn start(tensors: u64, keys: u64) -> Vec<u8> {
    let mut bytes = b"GGUF".to_vec();
    bytes.extend(3u32.to_le_bytes());
    bytes.extend(tensors.to_le_bytes());
    bytes.extend(keys.to_le_bytes());
    bytes
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

/// A tensor's description, extents innermost first.
fn described(name: &str, extents: &[u64], kind: u32, offset: u64) -> Vec<u8> {
    let mut bytes = text(name);
    bytes.extend((extents.len() as u32).to_le_bytes());
    bytes.extend(extents.iter().flat_map(|extent| extent.to_le_bytes()));
    bytes.extend(kind.to_le_bytes());
    bytes.extend(offset.to_le_bytes());
    bytes
}

/// A file of these keys (key, type and value) and descriptions, with `data` bytes of data.
fn file(keys: &[(&str, &[u8])], tensors: &[Vec<u8>], data: usize) -> Vec<u8> {
    let mut bytes = start(tensors.len() as u64, keys.len() as u64);
    for (key, value) in keys {
        bytes.extend(text(key));
        bytes.extend(*value);
    }
    bytes.extend(tensors.concat());
    bytes.resize(bytes.len().next_multiple_of(32) + data, 0);
    bytes
}

#[test]
fn broken_headers_are_refused() {
    let f32s = |name, offset| described(name, &[4], 0, offset);
    let deep: Vec<u8> = [9u32, 9, 1, 0, 9, 1, 0, 9, 1, 0, 9, 1, 0, 0]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .chain([0; 16])
        .collect();
    let number = |kind: u32, value: u32| [kind.to_le_bytes(), value.to_le_bytes()].concat();
    let shape = |extents: &[u32]| {
        let mut bytes = [9u32, 5, extents.len() as u32, 0]
            .map(u32::to_le_bytes)
            .concat();
        bytes.extend(extents.iter().flat_map(|extent| extent.to_le_bytes()));
        bytes
    };
    let mut version_1 = start(0, 0);
    version_1[4] = 1;
    let mut big_endian = start(0, 0);
    big_endian[4..8].copy_from_slice(&3u32.to_be_bytes());
    let original = "comfy.gguf.orig_shape.a";
    for (bytes, expected) in [
        (version_1, "it is GGUF version 1, but versions 2 and 3"),
        (big_endian, "it is a big-endian GGUF file"),
        (
            b"GGUF".to_vec(),
            "at byte 4, 4 bytes of its version should follow, but only 0 do",
        ),
        (
            start(1 << 60, 0),
            "bytes of the tensors' descriptions should follow",
        ),
        (start(0, u64::MAX), "bytes of the keys should follow"),
        (
            file(&[("k", &number(13, 0))], &[], 0),
            "the value of \"k\" is of type 13",
        ),
        (
            file(&[("k", &deep)], &[], 0),
            "the value of \"k\" holds lists more than 4 deep",
        ),
        (
            file(&[("k", &number(4, 1)), ("k", &number(4, 1))], &[], 0),
            "the key \"k\" is given twice",
        ),
        (
            file(&[("general.alignment", &number(4, 48))], &[], 0),
            "general.alignment is 48, but",
        ),
        (
            file(&[("general.alignment", &number(4, 0))], &[], 0),
            "general.alignment is 0, but",
        ),
        (
            file(&[], &[described("a", &[1; 9], 0, 0)], 4),
            "tensor \"a\" has 9 dimensions",
        ),
        (
            file(&[], &[described("a", &[4], 99, 0)], 16),
            "tensor \"a\" is of type 99",
        ),
        (
            file(&[], &[described("a", &[48], 8, 0)], 64),
            "tensor \"a\" of shape [48] is Q8_0, whose rows are multiples of 32",
        ),
        (
            file(&[], &[f32s("a", 16)], 64),
            "tensor \"a\" begins at 16 of the data, which is no multiple of the alignment 32",
        ),
        (
            file(&[], &[f32s("a", 0), f32s("a", 32)], 64),
            "tensor \"a\" is described twice",
        ),
        (
            file(&[], &[described("a", &[16], 0, 0), f32s("b", 32)], 64),
            "tensor \"b\" begins at 32 of the data, inside tensor \"a\", which ends at 64",
        ),
        (
            file(&[], &[f32s("a", 32)], 47),
            "tensor \"a\" lies at 32..48 of the data, but the file holds only 47 bytes",
        ),
        (
            file(&[], &[described("a", &[1 << 40, 1 << 40], 0, 0)], 4),
            "whose size overflows",
        ),
        (
            file(&[], &[described("a", &[16], 0, u64::MAX - 31)], 4),
            "whose size overflows",
        ),
        (
            file(&[(original, &shape(&[3]))], &[f32s("a", 0)], 16),
            "tensor \"a\" has shape [4], but comfy.gguf.orig_shape says [3]",
        ),
        (
            file(&[(original, &shape(&[1; 9]))], &[f32s("a", 0)], 16),
            "is not a list of at most 8 extents",
        ),
        (
            file(&[(original, &shape(&[u32::MAX]))], &[f32s("a", 0)], 16),
            "is not a list of at most 8 extents",
        ),
    ] {
        let error = open(bytes).unwrap_err();
        assert!(error.starts_with("a.gguf: "), "{error}");
        assert!(
            error.contains(expected),
            "{error}\ndoes not say\n{expected}"
        );
    }
    // What is unusual but right.
    let aligned = number(4, 8);
    let good = file(
        &[
            ("general.alignment", &aligned),
            (original, &shape(&[2, 2, 1])),
        ],
        &[
            f32s("b", 24),
            f32s("a", 0),
            described("none", &[0, 5], 0, 24),
        ],
        40,
    );
    let checkpoint = open(good).unwrap();
    assert_eq!(checkpoint.shape_of("a"), Some(&[2, 2, 1][..]));
    assert_eq!(checkpoint.get("none", &[5, 0]).unwrap().to_f32(), [0.0; 0]);
    assert!(open(start(0, 0)).unwrap().names().next().is_none());
}

#[test]
fn every_prefix_is_refused() {
    let bytes = std::fs::read(fixture("every_type.gguf")).unwrap();
    // The last tensor's padding is no part of it.
    for len in (0..bytes.len() - 32).step_by(7) {
        open(bytes[..len].to_vec()).unwrap_err();
    }
}

/// A file that ends behind the descriptions of its tensors is enough to plan with.
#[test]
fn a_head_has_the_shapes_and_types() {
    let whole = written();
    // Padded up to the data, which are zeros as well.
    let padded = whole.iter().rposition(|&byte| byte != 0).unwrap() + 1;
    let head = |len: usize| {
        let bytes = whole[..len].to_vec();
        Checkpoint::from_bytes_to("a.gguf", bytes, "transformer", Extent::Headers)
    };
    let shortest = (0..whole.len()).find(|&len| head(len).is_ok()).unwrap();
    assert!((padded..padded + 32).contains(&shortest), "{shortest}");
    let head = head(shortest).unwrap();
    assert_eq!(head.type_of("Q8_0", &[2, 2, 64]).unwrap(), DType::Q8_0);
    assert_eq!(head.type_of("odd", &[3, 1, 1]).unwrap(), DType::F16);
    assert_eq!(head.metadata().get("general.name").unwrap(), "tiny");
    let error = head.get("odd", &[3, 1, 1]).unwrap_err().to_string();
    assert!(
        error.contains("a.gguf ends before the data of tensor \"odd\""),
        "{error}"
    );
    open(whole[..shortest].to_vec()).unwrap_err();
}

/// A file of one tensor of each type, with zeros.
fn written() -> Vec<u8> {
    let mut header = GgufHeader::new("wan");
    header.key("general.name", GgufValue::Text("tiny".to_owned()));
    header.key("general.file_type", GgufValue::U32(7));
    header.key("test.float", GgufValue::F32(0.5));
    header.key("test.bool", GgufValue::Bool(true));
    let original = GgufValue::Numbers(vec![2, 2, 64]);
    header.key("comfy.gguf.orig_shape.Q8_0", original);
    let tensors = [DType::F32, DType::F16, DType::BF16, DType::Q8_0].map(|dtype| {
        header.tensor(dtype.name(), dtype, &[4, 64]).unwrap();
        dtype.bytes(4 * 64)
    });
    header.tensor("odd", DType::F16, &[3, 1, 1]).unwrap();
    let mut file = header.to_bytes();
    for bytes in tensors.into_iter().chain([6]) {
        file.resize(file.len() + bytes + GgufHeader::padding(bytes), 0);
    }
    file
}

#[test]
fn what_is_written_is_read() {
    let checkpoint = open(written()).unwrap();
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        let view = checkpoint.get(dtype.name(), &[4, 64]).unwrap();
        assert_eq!((view.dtype, view.to_f32()), (dtype, vec![0.0; 256]));
    }
    assert_eq!(checkpoint.dtype_of("Q8_0"), Some(DType::Q8_0));
    assert_eq!(checkpoint.shape_of("Q8_0"), Some(&[2, 2, 64][..]));
    assert_eq!(checkpoint.shape_of("odd"), Some(&[3, 1, 1][..]));
    let metadata = checkpoint.metadata();
    for (key, value) in [
        ("general.architecture", "wan"),
        ("general.name", "tiny"),
        ("general.file_type", "7"),
        ("test.float", "0.5"),
        ("test.bool", "true"),
    ] {
        assert_eq!(metadata.get(key).map(String::as_str), Some(value), "{key}");
    }
    // For gguf-py to read: KINORA_KEEP_GGUF=file cargo test --test weights what_is_written
    if let Ok(path) = std::env::var("KINORA_KEEP_GGUF") {
        std::fs::write(path, written()).unwrap();
    }
}

#[test]
fn what_the_format_cannot_hold_is_not_written() {
    let mut header = GgufHeader::new("wan");
    for (dtype, shape, expected) in [
        (
            DType::U32,
            &[2][..],
            "tensor \"a\" is U32, which GGUF does not have",
        ),
        (DType::Q8_0, &[2, 40], "whose rows are multiples of 32"),
        (DType::F32, &[1 << 40, 1 << 40], "whose size overflows"),
    ] {
        let error = header.tensor("a", dtype, shape).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
