//! Prompts: cleaned as the reference cleans them, and split into the reference's tokens.
//!
//! The expected values were made by diffusers' `prompt_clean` and by transformers' tokenizers
//! (`tests/fixtures/parts`); those of UMT5 stand here. UMT5's own `tokenizer.json` (17 MB) is not
//! part of the repository: where it is not at hand its tests are reported as ignored.

#[path = "tokenizer/gguf.rs"]
mod gguf;

use std::fs;
use std::path::{Path, PathBuf};

use kinora::error::ConfigError;
use kinora::text::clean::{PROMPT_LIMIT, clean};
use kinora::text::tokenizer::{Cut, MAX_TOKENS, Tokenizer};
use libtest_mimic::{Arguments, Failed, Trial};
use serde::Deserialize;
use serde_json::Value;

/// What UMT5's tokenizer makes of prompts.
const UMT5: [(&str, &[u32]); 5] = [
    (
        "A cat walks on the grass, realistic style.",
        &[
            320, 6283, 14869, 281, 369, 312, 70279, 275, 124690, 4724, 274, 1,
        ],
    ),
    (
        "一只猫在草地上走",
        &[273, 858, 9457, 14985, 869, 8900, 1238, 947, 4898, 1],
    ),
    (
        "Two anthropomorphic cats in comfy boxing gear",
        &[
            16349, 289, 182785, 97899, 1931, 6283, 281, 301, 547, 15817, 273, 126058, 39668, 1,
        ],
    ),
    ("", &[1]),
    // The name of a special token is that token, also in a prompt.
    ("</s>", &[1, 1]),
];

fn main() {
    let arguments = Arguments::from_args();
    let umt5 = root().join("../shared/umt5-xxl/tokenizer.json");
    let absent = !umt5.exists();
    let with_umt5 = |name: &str, test: fn(&Tokenizer) -> Result<(), Failed>| {
        let path = umt5.clone();
        Trial::test(name, move || test(&read(&path)?)).with_ignored_flag(absent)
    };
    let mut trials = vec![
        Trial::test("prompts_are_cleaned", prompts_are_cleaned),
        Trial::test("cleaning_settles", cleaning_settles),
        Trial::test(
            "a_long_prompt_takes_linear_time",
            a_long_prompt_takes_linear_time,
        ),
        Trial::test("fixture_ids", fixture_ids),
        Trial::test("a_long_prompt_is_cut", a_long_prompt_is_cut),
        Trial::test("a_huge_prompt_is_refused", a_huge_prompt_is_refused),
        Trial::test("a_broken_tokenizer_is_named", a_broken_tokenizer_is_named),
        Trial::test("a_sentencepiece_model_makes_the_same_ids", || {
            same_from_sentencepiece(&parts().join("tokenizer/tokenizer.json"))
        }),
        Trial::test("umt5_from_sentencepiece", {
            let umt5 = umt5.clone();
            move || same_from_sentencepiece(&umt5)
        })
        .with_ignored_flag(absent),
        Trial::test(
            "a_broken_sentencepiece_model_is_refused",
            broken_sentencepiece,
        ),
        with_umt5("umt5_ids", umt5_ids),
        with_umt5("umt5_cut", umt5_cut),
    ];
    trials.extend(gguf::trials());
    trials.push(
        Trial::test("umt5_from_gguf", move || {
            gguf::same_from_json(&umt5, 256_384)
        })
        .with_ignored_flag(absent),
    );
    libtest_mimic::run(&arguments, trials).exit();
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn parts() -> PathBuf {
    root().join("tests/fixtures/parts")
}

fn read(path: &Path) -> Result<Tokenizer, Failed> {
    Ok(Tokenizer::from_bytes(
        &path.display().to_string(),
        &fs::read(path)?,
    )?)
}

fn fixture() -> Result<Tokenizer, Failed> {
    read(&parts().join("tokenizer/tokenizer.json"))
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expected: T) -> Result<(), Failed> {
    if found == expected {
        Ok(())
    } else {
        Err(format!("{what}: {found:?}, expected {expected:?}").into())
    }
}

fn prompts_are_cleaned() -> Result<(), Failed> {
    let pairs: Vec<(String, String)> =
        serde_json::from_slice(&fs::read(parts().join("clean.json"))?)?;
    if pairs.len() < 50 {
        return Err(format!("only {} pairs", pairs.len()).into());
    }
    for (text, expected) in &pairs {
        equal(&format!("{text:?}"), &clean(text), expected)?;
    }
    Ok(())
}

/// Whatever the text, cleaning ends, and leaves neither controls nor white space to fold.
fn cleaning_settles() -> Result<(), Failed> {
    let mut state = 1u32;
    let mut next = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % below
    };
    for _ in 0..5000 {
        let length = next(24);
        let text: String = (0..length)
            .filter_map(|_| match next(6) {
                0 => char::from_u32(next(0x80)),
                1 => char::from_u32(0x80 + next(0x180)),
                2 => char::from_u32(0x370 + next(0x1c0)),
                3 => char::from_u32(0x2000 + next(0x200)),
                4 => "&#x;aAÃÂâ€œ™Ð\u{a0}\u{fffd}".chars().nth(next(16) as usize),
                _ => char::from_u32(next(0x11_0000)),
            })
            .collect();
        let cleaned = clean(&text);
        let folded: Vec<&str> = cleaned.split_whitespace().collect();
        equal(
            &format!("{text:?}"),
            cleaned.as_str(),
            folded.join(" ").as_str(),
        )?;
        if cleaned.contains(|c: char| c.is_ascii_control()) {
            return Err(format!("{text:?} became {cleaned:?}").into());
        }
    }
    Ok(())
}

/// A file pasted by mistake must not hang the program.
fn a_long_prompt_takes_linear_time() -> Result<(), Failed> {
    for piece in ["&", "Ã ", "â€™", "\u{1b}[1", "&EACUTE;", "é©x", "a\n", "雪"] {
        let text = piece.repeat(30_000 / piece.len());
        let begun = std::time::Instant::now();
        let _ = clean(&text);
        // A second, unoptimised, on a busy machine; something quadratic would take many minutes.
        if begun.elapsed().as_secs() > 30 {
            return Err(format!("{piece:?} took {:?}", begun.elapsed()).into());
        }
    }
    Ok(())
}

#[derive(Deserialize)]
struct Case {
    cleaned: String,
    ids: Vec<u32>,
}

fn fixture_ids() -> Result<(), Failed> {
    let tokenizer = fixture()?;
    let cases: Vec<Case> = serde_json::from_slice(&fs::read(parts().join("tokens.json"))?)?;
    for Case { cleaned, ids } in cases {
        let tokens = tokenizer.encode(&cleaned, MAX_TOKENS)?;
        equal(&cleaned, tokens.ids, ids)?;
    }
    Ok(())
}

fn a_long_prompt_is_cut() -> Result<(), Failed> {
    let tokenizer = fixture()?;
    // Words of several bytes a letter: the cut must fall between characters.
    let text = "a small blue boat at sunset — naïve ".repeat(120);
    let whole = tokenizer.encode(&text, usize::MAX)?;
    equal("uncut", whole.cut, None)?;
    for limit in [1, 2, 17, 64, 511, 512, whole.ids.len() - 1] {
        let tokens = tokenizer.encode(&text, limit)?;
        equal("length", tokens.ids.len(), limit)?;
        equal("head", &tokens.ids[..limit - 1], &whole.ids[..limit - 1])?;
        equal("last", tokens.ids.last(), whole.ids.last())?;
        let cut = tokens.cut.ok_or("no cut was reported")?;
        equal("tokens", cut.tokens, whole.ids.len())?;
        // What was read, read alone, is the same tokens.
        let read = text
            .get(..cut.byte)
            .ok_or("the cut is inside a character")?;
        equal("again", tokenizer.encode(read, limit)?.ids, tokens.ids)?;
    }
    let exact = tokenizer.encode(&text, whole.ids.len())?;
    equal("exact", exact, whole)
}

fn a_huge_prompt_is_refused() -> Result<(), Failed> {
    let error = fixture()?.encode(&"x".repeat(10_000_000), MAX_TOKENS);
    match error {
        Err(ConfigError::Prompt {
            len: 10_000_000,
            limit,
        }) if limit == PROMPT_LIMIT => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

fn a_broken_tokenizer_is_named() -> Result<(), Failed> {
    for bytes in [&b""[..], b"{}", b"{\"version\":\"1.0\"}", b"\xff\xfe"] {
        let Err(error) = Tokenizer::from_bytes("model/tokenizer/tokenizer.json", bytes) else {
            return Err(format!("{bytes:?} was accepted").into());
        };
        let message = error.to_string();
        if !message.starts_with("model/tokenizer/tokenizer.json is not a usable tokenizer: ") {
            return Err(message.into());
        }
    }
    Ok(())
}

fn umt5_ids(tokenizer: &Tokenizer) -> Result<(), Failed> {
    for (text, ids) in UMT5 {
        equal(
            text,
            tokenizer.encode(text, MAX_TOKENS)?.ids.as_slice(),
            ids,
        )?;
    }
    equal("entries", tokenizer.vocab_size(), 256_300)
}

fn umt5_cut(tokenizer: &Tokenizer) -> Result<(), Failed> {
    // One token a word; 511 words and </s> fit.
    for (words, cut) in [
        (511, None),
        (
            512,
            Some(Cut {
                byte: 2043,
                tokens: 513,
            }),
        ),
        (
            700,
            Some(Cut {
                byte: 2043,
                tokens: 701,
            }),
        ),
    ] {
        let text = clean(&"cat ".repeat(words));
        let tokens = tokenizer.encode(&text, MAX_TOKENS)?;
        equal("cut", tokens.cut, cut)?;
        equal("length", tokens.ids.len(), MAX_TOKENS)?;
        equal("last", tokens.ids.last(), Some(&1))?;
    }
    Ok(())
}

/// A protobuf field that holds bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        field.push(length as u8 | 0x80);
        length >>= 7;
    }
    field.push(length as u8);
    field.extend_from_slice(bytes);
    field
}

/// The SentencePiece model that a `tokenizer.json` was made from, as far as its fields are read.
fn sentencepiece(json: &Value) -> Result<Vec<u8>, Failed> {
    let vocabulary = json["model"]["vocab"].as_array().ok_or("a vocabulary")?;
    let mut model = Vec::new();
    for (id, entry) in vocabulary.iter().enumerate() {
        let text = entry[0].as_str().ok_or("a piece")?;
        if text.starts_with("<extra_id_") {
            // T5's tokenizer adds these itself.
            break;
        }
        let mut piece = field(1, text.as_bytes());
        piece.push(2 << 3 | 5);
        let score = entry[1].as_f64().ok_or("a score")?;
        piece.extend((score as f32).to_le_bytes());
        let special = json["added_tokens"]
            .as_array()
            .is_some_and(|tokens| tokens.iter().any(|token| token["id"] == id));
        if special {
            let kind = if json["model"]["unk_id"] == id { 2 } else { 3 };
            piece.extend([3 << 3, kind]);
        }
        model.extend(field(1, &piece));
    }
    // Unigram, and no map of characters.
    model.extend(field(2, &[3 << 3, 1]));
    model.extend(field(3, &field(1, b"identity")));
    Ok(model)
}

fn same_from_sentencepiece(path: &Path) -> Result<(), Failed> {
    let json = fs::read(path)?;
    let model = sentencepiece(&serde_json::from_slice(&json)?)?;
    let own = Tokenizer::from_bytes("tokenizer.json", &json)?;
    let made = Tokenizer::from_bytes("spiece.model", &model)?;
    let mut prompts: Vec<String> = UMT5.iter().map(|(text, _)| (*text).to_owned()).collect();
    for file in ["tokens.json", "clean.json"] {
        let cases: Value = serde_json::from_slice(&fs::read(parts().join(file))?)?;
        let mut texts = vec![&cases];
        while let Some(value) = texts.pop() {
            match value {
                Value::String(text) => prompts.push(text.clone()),
                Value::Array(items) => texts.extend(items),
                Value::Object(fields) => texts.extend(fields.values()),
                _ => {}
            }
        }
    }
    if prompts.len() < 40 {
        return Err(format!("{} prompts", prompts.len()).into());
    }
    for prompt in prompts {
        let [own, made] = [&own, &made].map(|tokenizer| tokenizer.encode(&prompt, MAX_TOKENS));
        equal(&prompt, made?, own?)?;
    }
    Ok(())
}

fn broken_sentencepiece() -> Result<(), Failed> {
    let json = fs::read(parts().join("tokenizer/tokenizer.json"))?;
    let model = sentencepiece(&serde_json::from_slice(&json)?)?;
    let error = |bytes: &[u8]| match Tokenizer::from_bytes("spiece.model", bytes) {
        Ok(_) => Err(Failed::from(format!("{} bytes were accepted", bytes.len()))),
        Err(error) => Ok(error.to_string()),
    };
    let mut bpe = model.clone();
    bpe.extend(field(2, &[3 << 3, 2]));
    equal(
        "another kind",
        error(&bpe)?,
        "spiece.model is not a usable tokenizer: its model_type is 2, expected 1, Unigram"
            .to_owned(),
    )?;
    equal(
        "no unknown piece",
        error(&model[..9])?,
        "spiece.model is not a usable tokenizer: it is truncated or not a SentencePiece model"
            .to_owned(),
    )?;
    // Cut anywhere it is refused, or is a smaller vocabulary; it never panics.
    for end in 1..model.len() {
        drop(Tokenizer::from_bytes("spiece.model", &model[..end]));
    }
    Ok(())
}
