//! Prompts: cleaned as the reference cleans them, and split into the reference's tokens.
//!
//! The expected values were made by diffusers' `prompt_clean` and by transformers' tokenizers
//! (`tests/fixtures/parts`); those of UMT5 stand here. UMT5's own `tokenizer.json` (17 MB) is not
//! part of the repository: where it is not at hand its tests are reported as ignored.

use std::fs;
use std::path::{Path, PathBuf};

use kinora::error::ConfigError;
use kinora::models::prompt::{PROMPT_LIMIT, clean};
use kinora::models::tokenizer::{Cut, MAX_TOKENS, Tokenizer};
use libtest_mimic::{Arguments, Failed, Trial};
use serde::Deserialize;

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
    let trials = vec![
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
        with_umt5("umt5_ids", umt5_ids),
        with_umt5("umt5_cut", umt5_cut),
    ];
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
