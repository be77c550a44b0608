//! Files of `torch.save` as torch writes them, and what else may lie in such a file.

use kinora::tensor::DType;
use kinora::weights::{Checkpoint, Container};

use super::archive::archive;
use super::gguf::fixture;

fn message(bytes: Vec<u8>) -> String {
    let error = Checkpoint::from_bytes("a.pth", bytes, "vae").unwrap_err();
    error.to_string()
}

#[test]
fn a_state_dict_is_read_as_torch_reads_it() {
    let checkpoint = Checkpoint::open(fixture("state_dict.pth"), "vae").unwrap();
    let expected = Checkpoint::open(fixture("state_dict.safetensors"), "expected").unwrap();
    assert_eq!(
        checkpoint.containers().collect::<Vec<_>>(),
        [Container::Torch]
    );
    assert_eq!(checkpoint.names().len(), expected.names().len() + 3);
    for name in expected.names() {
        let expected = expected.get_any(name).unwrap();
        let view = checkpoint.get(name, expected.shape).unwrap();
        assert_eq!(view.to_f32(), expected.to_f32(), "{name}");
    }
    for (name, dtype) in [
        ("float.weight", DType::F32),
        ("half.weight", DType::F16),
        ("bfloat.weight", DType::BF16),
        ("float8.weight", DType::F8E4M3),
    ] {
        assert_eq!(checkpoint.dtype_of(name), Some(dtype));
    }
    for (name, found) in [
        ("transposed.weight", "F32 with strides [1, 6]"),
        ("column.weight", "F32 with strides [6, 1]"),
        ("steps", "I64"),
    ] {
        let error = checkpoint.get_any(name).unwrap_err().to_string();
        let says = format!("is {found}, but weights must be");
        assert!(error.contains(&says), "{error}");
    }
}

#[test]
fn a_state_dict_may_lie_beside_other_things() {
    let checkpoint = Checkpoint::open(fixture("nested.pth"), "vae").unwrap();
    assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(checkpoint.get("a", &[3]).unwrap().to_f32(), [0.0, 1.0, 2.0]);
}

#[test]
fn other_files_of_torch_are_refused() {
    for (name, expected) in [
        (
            "legacy.pth",
            "a.pth: it is in the format of torch before 1.6",
        ),
        (
            "numpy.pth",
            "a.pth: its data.pkl asks for \"numpy._core.multiarray.scalar\"; only tensors are read and nothing is run",
        ),
    ] {
        let error = message(std::fs::read(fixture(name)).unwrap());
        assert!(error.starts_with(expected), "{error}");
    }
    let whole = std::fs::read(fixture("state_dict.pth")).unwrap();
    for len in (4..whole.len()).step_by(11) {
        let error = message(whole[..len].to_vec());
        assert!(error.contains("zip archive cannot be read"), "{error}");
    }
}

/// The pickle of `{"w": tensor}`, of `shape` and `strides` in the storage `0` of `len` floats.
fn pickle(shape: [u8; 2], strides: [u8; 2], offset: u8, len: u8) -> Vec<u8> {
    let mut bytes = b"\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0\x30X\x03\0\0\0cpuK".to_vec();
    bytes.extend([len, b't', b'Q', b'K', offset]);
    for [rows, columns] in [shape, strides] {
        bytes.extend([b'K', rows, b'K', columns, 0x86]);
    }
    bytes.extend(b"\x89ccollections\nOrderedDict\n)RtRs.");
    bytes
}

#[test]
fn broken_archives_and_pickles_are_refused() {
    let of = |pickle: &[u8]| archive(&[("m/data.pkl", pickle), ("m/data/0", &[0; 24])], 0);
    let good = pickle([2, 3], [3, 1], 0, 6);
    let checkpoint = Checkpoint::from_bytes("a.pth", of(&good), "vae").unwrap();
    assert_eq!(checkpoint.get("w", &[2, 3]).unwrap().to_f32(), [0.0; 6]);

    let files: [(&str, &[u8]); 2] = [("m/data.pkl", &good), ("m/data/0", &[0; 24])];
    for (bytes, expected) in [
        (archive(&files, 8), "\"m/data.pkl\" in it is compressed"),
        (archive(&files[1..], 0), "without data.pkl"),
        (
            archive(&files[..1], 0),
            "tensor \"w\" is in the storage \"0\", which is missing",
        ),
        (
            archive(&[files[0], files[1], files[1]], 0),
            "\"m/data/0\" is in it twice",
        ),
        (
            archive(&[files[0], files[1], ("m/byteorder", b"big")], 0),
            "big-endian",
        ),
        (
            of(&pickle([2, 3], [3, 1], 0, 7)),
            "the storage \"0\" has 24 bytes, but data.pkl says 28",
        ),
        (
            of(&pickle([2, 3], [3, 1], 1, 6)),
            "tensor \"w\" of shape [2, 3], strides [3, 1] and offset 1 goes beyond its storage",
        ),
        (
            of(&pickle([2, 3], [255, 255], 0, 6)),
            "goes beyond its storage",
        ),
        (
            of(b"\x80\x02cposix\nsystem\nX\x02\0\0\0ls\x85R."),
            "asks for \"posix.system\"; only tensors are read and nothing is run",
        ),
        (
            of(b"\x80\x02cbuiltins\neval\n."),
            "asks for \"builtins.eval\"",
        ),
        (of(b"\x80\x04\x95"), "has the opcode 0x95 at byte 2"),
        (of(b"\x80\x02i"), "has the opcode 0x69"),
        (of(b"\x80\x02}"), "ends at byte 3"),
        (of(b"\x80\x02X\xff\xff\xff\xff"), "ends at byte 7"),
        (of(b"\x80\x02ctorch"), "ends at byte 3"),
        (of(b"\x80\x02."), "is wrong before byte 3 (the stack)"),
        (of(b"\x80\x02u."), "(a mark)"),
        (of(b"\x80\x02h\x05."), "(a reference)"),
        (of(b"\x80\x02NNR."), "(a call)"),
        // A shape of nine dimensions.
        (of(b"\x80\x02ctorch\nSize\n(NNNNNNNNNt\x85R."), "(a call)"),
        (of(b"\x80\x02NQ."), "(a storage)"),
        (of(b"\x80\x02\x8a\x09123456789."), "(an integer)"),
        (of(b"\x80\x02N."), "it holds no dictionary"),
        (
            of(b"\x80\x02}X\x01\0\0\0aNs."),
            "it holds no tensors (its keys: \"a\")",
        ),
        // A dictionary that holds itself.
        (
            of(b"\x80\x02}q\0X\x01\0\0\0ah\0s."),
            "it holds no tensors (its keys: \"a\")",
        ),
    ] {
        let error = message(bytes);
        assert!(error.starts_with("a.pth: "), "{error}");
        assert!(
            error.contains(expected),
            "{error}\ndoes not say\n{expected}"
        );
    }
}

#[test]
fn pickles_of_many_objects_are_refused() {
    for opcode in [&b"}"[..], b"N", b"]q\x05", b"("] {
        let mut bytes = b"\x80\x02".to_vec();
        while bytes.len() < 1 << 20 {
            bytes.extend(opcode);
        }
        let error = message(archive(&[("m/data.pkl", &bytes)], 0));
        assert!(error.contains("more than 262144 objects"), "{error}");
    }
}
