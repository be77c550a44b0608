//! Valid files, small ones, that mutations begin from.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kinora::tensor::DType;
use kinora::weights::{GgufHeader, GgufValue, Latents, RunProgress, RunState, SolverState};

use super::archive::archive;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

/// A file of `tests/fixtures`.
pub fn file(path: &str) -> Vec<u8> {
    fs::read(fixtures().join(path)).expect("a fixture")
}

/// A safetensors file of this header, padded, and as many zeros.
pub fn with_header(header: &[u8], data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.resize(bytes.len() + data, 0);
    bytes
}

pub fn safetensors() -> Vec<Vec<u8>> {
    let headers: [(&[u8], usize); 4] = [
        (br#"{"a.weight":{"dtype":"F16","shape":[2,3],"data_offsets":[0,12]},"b":{"dtype":"F32","shape":[],"data_offsets":[12,16]},"__metadata__":{"format":"pt"}}"#, 16),
        (br#"{"a":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]},"a.scale_weight":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#, 8),
        (br#"{"x":{"dtype":"I64","shape":[1,0,7],"data_offsets":[0,0]},"y":{"dtype":"BF16","shape":[1,1,2],"data_offsets":[0,4]}}  "#, 4),
        (b"{}", 0),
    ];
    let made = headers.map(|(header, data)| with_header(header, data));
    let mut seeds = made.to_vec();
    seeds.push(file("parts/containers/state_dict.safetensors"));
    seeds
}

/// Matrices in 8 and 4 bits with what lies beside them.
pub fn quantised() -> Vec<Vec<u8>> {
    let mark = br#"{"format":"int8_tensorwise","convrot":true,"convrot_groupsize":4}"#;
    let rotated = format!(
        r#"{{"a.weight":{{"dtype":"I8","shape":[2,8],"data_offsets":[0,16]}},"a.weight_scale":{{"dtype":"F32","shape":[2,1],"data_offsets":[16,24]}},"a.comfy_quant":{{"dtype":"U8","shape":[{0}],"data_offsets":[24,{1}]}}}}"#,
        mark.len(),
        mark.len() + 24
    );
    let mut rotated = with_header(rotated.as_bytes(), 24);
    rotated.extend(mark);
    let layers = br#"{"__metadata__":{"_quantization_metadata":"{\"layers\":{\"a\":{\"format\":\"nvfp4\"},\"b\":{\"format\":\"int8_tensorwise\"}}}"},"a.weight":{"dtype":"U8","shape":[2,16],"data_offsets":[0,32]},"a.weight_scale":{"dtype":"F8_E4M3","shape":[128,4],"data_offsets":[32,544]},"a.weight_scale_2":{"dtype":"F32","shape":[],"data_offsets":[544,548]},"b.weight":{"dtype":"I8","shape":[2,4],"data_offsets":[548,556]},"b.scale_weight":{"dtype":"F32","shape":[],"data_offsets":[556,560]}}"#;
    let quanto = br#"{"a.weight._data":{"dtype":"I8","shape":[2,3],"data_offsets":[0,6]},"a.weight._scale":{"dtype":"BF16","shape":[2,1],"data_offsets":[6,10]},"a.output_scale":{"dtype":"F32","shape":[],"data_offsets":[10,14]},"b.weight":{"dtype":"F8_E5M2","shape":[2,1],"data_offsets":[14,16]},"b.scale_weight":{"dtype":"F32","shape":[],"data_offsets":[16,20]}}"#;
    vec![
        rotated,
        with_header(layers, 560),
        with_header(quanto, 20),
        file("parts/quantised.safetensors"),
    ]
}

pub fn gguf() -> Vec<Vec<u8>> {
    let mut header = GgufHeader::new("wan");
    header.key("general.alignment", GgufValue::U32(32));
    let shape = GgufValue::Numbers(vec![2, 16]);
    header.key("comfy.gguf.orig_shape.a", shape);
    for (name, dtype) in [("a", DType::Q8_0), ("b", DType::F16)] {
        header.tensor(name, dtype, &[1, 32]).expect("a tensor");
    }
    let mut small = header.to_bytes();
    small.resize(small.len() + 128, 0);
    let mut blocks = GgufHeader::new("wan");
    let types = DType::targets().filter(|dtype| dtype.block() > 1);
    let mut data = 0;
    for dtype in types {
        let name = dtype.name();
        blocks.tensor(name, dtype, &[1, 256]).expect("a tensor");
        data += dtype.bytes(256).next_multiple_of(GgufHeader::ALIGNMENT);
    }
    let mut blocks = blocks.to_bytes();
    blocks.resize(blocks.len() + data, 0x5a);
    vec![
        blocks,
        small.clone(),
        small.clone(),
        small,
        GgufHeader::new("").to_bytes(),
        file("parts/containers/every_type.gguf"),
    ]
}

/// Pickles of `{"w": tensor}`, the tensor of shape [2, 3] in six floats: as short as can be, and with
/// most of what `torch.save` writes.
pub fn pickles() -> Vec<Vec<u8>> {
    let tensor: &[u8] = b"ctorch._utils\n_rebuild_tensor_v2\nq\x01((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQK\x00K\x02K\x03\x86K\x03K\x01\x86\x89ccollections\nOrderedDict\n)Rtq\x02R";
    let around: [[&[u8]; 2]; 2] = [
        [b"\x80\x02}q\x00X\x01\x00\x00\x00w", b"s."],
        [
            b"\x80\x02ccollections\nOrderedDict\n)R(X\x01\x00\x00\x00aNX\x01\x00\x00\x00b]K\x01a\x8a\x02\xff\x7fG\x00\x00\x00\x00\x00\x00\x00\x00X\x01\x00\x00\x00w",
            b"u}X\x09\x00\x00\x00_metadata}sb.",
        ],
    ];
    around
        .map(|[before, after]| [before, tensor, after].concat())
        .to_vec()
}

/// A zip archive of this `data.pkl` and one storage of 24 bytes.
pub fn saved(pickle: &[u8]) -> Vec<u8> {
    archive(&[("m/data.pkl", pickle), ("m/data/0", &[0; 24])], 0)
}

pub fn archives() -> Vec<Vec<u8>> {
    vec![
        saved(&pickles()[0]),
        file("parts/containers/nested.pth"),
        file("parts/containers/state_dict.pth"),
    ]
}

/// Each configuration file of the fixtures' models.
pub fn configurations() -> Vec<Vec<u8>> {
    let mut seeds =
        vec![br#"{"name":"x","width":832,"fps":16,"guidance":5.0,"steps":50}"#.to_vec()];
    for model in ["wan21", "ti2v", "image_euler"] {
        for part in [
            "model_index.json",
            "scheduler/scheduler_config.json",
            "text_encoder/config.json",
            "transformer/config.json",
            "vae/config.json",
        ] {
            seeds.push(file(&format!("{model}/model/{part}")));
        }
    }
    seeds
}

/// The fixtures' tokenizer and others with a few entries.
pub fn tokenizers() -> Vec<Vec<u8>> {
    let unigram = br#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[{"id":1,"content":"</s>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}],"normalizer":{"type":"Sequence","normalizers":[{"type":"Replace","pattern":{"Regex":" {2,}"},"content":" "}]},"pre_tokenizer":{"type":"Metaspace","replacement":"\u2581","prepend_scheme":"always","split":true},"post_processor":{"type":"TemplateProcessing","single":[{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"</s>","type_id":0}}],"pair":[],"special_tokens":{"</s>":{"id":"</s>","ids":[1],"tokens":["</s>"]}}},"decoder":null,"model":{"type":"Unigram","unk_id":2,"vocab":[["<pad>",0.0],["</s>",0.0],["<unk>",0.0],["\u2581",-2.0],["a",-2.5],["cat",-3.0]],"byte_fallback":false}}"#;
    vec![unigram.to_vec(), file("parts/tokenizer/tokenizer.json")]
}

/// A field of a protocol buffer that holds bytes, shorter than 128.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut made = vec![number << 3 | 2, bytes.len() as u8];
    made.extend(bytes);
    made
}

/// A SentencePiece model of a few pieces, with and without a map of characters.
pub fn sentencepieces() -> Vec<Vec<u8>> {
    let pieces = [
        ("<pad>", 3u8),
        ("</s>", 3),
        ("<unk>", 2),
        ("\u{2581}", 1),
        ("a", 1),
        ("cat", 1),
    ];
    let mut model = Vec::new();
    for (text, kind) in pieces {
        let mut piece = field(1, text.as_bytes());
        piece.push(2 << 3 | 5);
        piece.extend((-1.5f32).to_le_bytes());
        piece.extend([3 << 3, kind]);
        model.extend(field(1, &piece));
    }
    model.extend(field(2, &[3 << 3, 1]));
    let mut mapped = model.clone();
    // The size of an empty trie of characters, one node, and what it maps to.
    let map = [4u32.to_le_bytes(), [0; 4]].concat();
    mapped.extend(field(3, &field(2, &map)));
    vec![model, mapped]
}

/// The head of a GGUF text encoder with a tokenizer of a few pieces, with and without a map of
/// characters.
pub fn gguf_tokenizers() -> Vec<Vec<u8>> {
    let texts = ["<pad>", "</s>", "<unk>", "\u{2581}", "a", "cat", "[PAD6]"];
    let keys = [
        ("model", GgufValue::Text("t5".to_owned())),
        (
            "tokens",
            GgufValue::Texts(texts.map(str::to_owned).to_vec()),
        ),
        ("scores", GgufValue::Floats(vec![-1.5; 7])),
        ("token_type", GgufValue::Numbers(vec![3, 3, 2, 1, 1, 1, 5])),
        ("add_space_prefix", GgufValue::Bool(true)),
        ("eos_token_id", GgufValue::U32(1)),
        ("unknown_token_id", GgufValue::U32(2)),
    ];
    let mut header = GgufHeader::new("t5encoder");
    for (key, value) in keys {
        header.key(format!("tokenizer.ggml.{key}"), value);
    }
    let mut mapped = header.clone();
    let map = [4u32.to_le_bytes(), [0; 4]].concat();
    mapped.key("tokenizer.ggml.precompiled_charsmap", GgufValue::Bytes(map));
    vec![header.to_bytes(), mapped.to_bytes()]
}

/// A few layers of the fixture's transformer by each method, and the files of the fixtures.
pub fn loras() -> Vec<Vec<u8>> {
    let layer = "blocks.0.attn1.to_q";
    let kinds: [&[(&str, [usize; 2])]; 5] = [
        &[
            ("lora_A.weight", [2, 32]),
            ("lora_B.weight", [32, 2]),
            ("alpha", [1, 1]),
        ],
        &[
            ("hada_w1_a", [32, 1]),
            ("hada_w1_b", [1, 32]),
            ("hada_w2_a", [32, 2]),
            ("hada_w2_b", [2, 32]),
        ],
        &[
            ("lokr_w1", [4, 4]),
            ("lokr_w2_a", [8, 1]),
            ("lokr_w2_b", [1, 8]),
        ],
        &[
            ("lora_down.weight", [1, 32]),
            ("lora_up.weight", [32, 1]),
            ("dora_scale", [32, 1]),
        ],
        &[("diff_b", [1, 32])],
    ];
    let mut seeds = vec![
        file("parts/adapters/names.safetensors"),
        file("parts/adapters/lokr.safetensors"),
    ];
    for kind in kinds {
        let (mut header, mut end) = (Vec::new(), 0);
        for (name, shape) in kind {
            let start = end;
            end += 2 * shape[0] * shape[1];
            header.push(format!(
                r#""{layer}.{name}":{{"dtype":"F16","shape":{shape:?},"data_offsets":[{start},{end}]}}"#
            ));
        }
        seeds.push(with_header(
            format!("{{{}}}", header.join(",")).as_bytes(),
            end,
        ));
    }
    seeds
}

pub fn pictures() -> Vec<Vec<u8>> {
    let files = [
        "rgb.png",
        "palette_alpha.png",
        "grey16.png",
        "rgb.jpg",
        "grey.jpg",
        "turned6.jpg",
        "rgb.webp",
        "alpha.webp",
        "lossless.webp",
    ];
    files
        .map(|name| file(&format!("parts/pictures/{name}")))
        .to_vec()
}

pub fn latents() -> Vec<Vec<u8>> {
    let header = br#"{"__metadata__":{"prompt":"a cat"},"latents":{"dtype":"F32","shape":[1,2,1,2,2],"data_offsets":[0,32]}}"#;
    let half = br#"{"latents":{"dtype":"BF16","shape":[1,1,1,1,2],"data_offsets":[0,4]}}"#;
    vec![with_header(header, 32), with_header(half, 4)]
}

/// Runs that have not begun, are under way and are done.
pub fn states() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a folder");
    let shape = [1, 1, 1, 2, 2];
    let finished = Latents {
        shape,
        values: vec![0.5; 4],
        metadata: BTreeMap::new(),
    };
    let part = SolverState {
        encoded: Arc::default(),
        shape,
        steps_done: 3,
        tensors: [0.0, 1.0, 2.0, 3.0].map(|value| vec![value; 4]),
    };
    let all = [
        RunProgress::Nothing,
        RunProgress::Steps(part),
        RunProgress::All(finished),
    ];
    all.map(|progress| {
        let path = folder.path().join("state");
        let metadata = BTreeMap::from([("prompt".to_owned(), "a cat".to_owned())]);
        let state = RunState { progress, metadata };
        state.write(&path).expect("a state");
        fs::read(&path).expect("a state")
    })
    .to_vec()
}
