//! The layers of ARCHITECTURE.md: each module of the engine names only what stands to its right.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::path::{Path, PathBuf};

/// The modules of the engine, and what each may name. All may name `error`; `gpu` alone names wgpu.
/// A module stands above whatever it names, so that there are no circles.
///
/// To add one: a row here, then run the test, which prints the diagram for `ARCHITECTURE.md`.
const MAY_NAME: &[(&str, &str)] = &[
    (
        "job",
        "pipeline request model_files models sampling media gpu weights record tensor staged part cancel",
    ),
    (
        "pipeline",
        "request model_files models text sampling pictures gpu weights ops record tensor counts part cancel",
    ),
    ("request", "model_files text sampling pictures media"),
    ("bench", "model_files models gpu weights ops record tensor"),
    (
        "model_files",
        "models text sampling weights tensor numbers staged panics",
    ),
    ("models", "nn ops gpu weights record tensor"),
    ("nn", "ops weights record tensor"),
    ("text", "panics"),
    ("pictures", "media"),
    ("media", "staged"),
    ("counts", "part"),
    ("part", "sampling"),
    ("sampling", ""),
    ("ops", "record shader tensor"),
    ("gpu", "weights record shader tensor cancel numbers panics"),
    ("weights", "tensor staged"),
    ("record", "shader tensor"),
    ("shader", "tensor"),
    ("error", "tensor"),
    ("tensor", ""),
    ("cancel", ""),
    ("numbers", ""),
    ("staged", ""),
    ("panics", ""),
];

/// The crates, and which of the others each may name.
const CRATES: &[(&str, &str, &str)] = &[
    ("kinora-cli", "cli", "kinora kinora-hub"),
    ("kinora-hub", "hub", ""),
    ("kinora", "engine", ""),
];

/// Words that only some of the sources may have, and the module that may, if any does.
const RESERVED: &[(&str, &[&str], Option<&str>)] = &[
    ("../engine/src", &["wgpu::"], Some("gpu")),
    ("../engine/src", &["std::net", "ureq::", "rustls::"], None),
    // What the environment says is the program's to read.
    ("../engine/src", &["env::var", "env::vars"], None),
    (
        "../cli/src",
        &["wgpu::", "naga::", "kinora::nn", "kinora::record::Recorder"],
        None,
    ),
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files
}

/// The text without comments.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).expect("a source file");
    text.lines()
        .map(|line| line.split("//").next().unwrap_or(""))
        .collect::<Vec<_>>()
        .join("\n")
}

fn module_of(root: &Path, file: &Path) -> String {
    let relative = file.strip_prefix(root).expect("inside the engine");
    let first = relative.components().next().expect("a component");
    let name = first.as_os_str().to_string_lossy();
    name.strip_suffix(".rs").unwrap_or(&name).to_owned()
}

/// The text of the fenced block in `ARCHITECTURE.md`.
fn diagram() -> String {
    let row = |name: &str, names: &str| {
        let names = names.replace(' ', ", ");
        format!("{name:14} ─► {names}")
            .trim_end_matches(" ─► ")
            .trim_end()
            .to_owned()
    };
    let crates = CRATES.iter().map(|(name, _, names)| row(name, names));
    let modules = MAY_NAME.iter().map(|(name, names)| row(name, names));
    let lines: Vec<String> = crates.chain([String::new()]).chain(modules).collect();
    format!("```\n{}\n```\n", lines.join("\n"))
}

#[test]
fn the_page_shows_the_layers() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ARCHITECTURE.md");
    let page = std::fs::read_to_string(page).expect("ARCHITECTURE.md");
    let diagram = diagram();
    println!("{diagram}");
    assert!(
        page.contains(&diagram),
        "the layers of ARCHITECTURE.md are not those of tests/architecture.rs: put this there\n\n{diagram}"
    );
}

#[test]
fn layers_have_no_circles() {
    for (index, (module, names)) in MAY_NAME.iter().enumerate() {
        for name in names.split_whitespace() {
            let below = MAY_NAME[index..].iter().any(|(other, _)| *other == name);
            assert!(below, "{module} may name {name}, which stands above it");
        }
    }
}

#[test]
fn modules_name_only_what_their_layer_may() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for file in sources(&root) {
        let module = module_of(&root, &file);
        if module == "lib" {
            continue;
        }
        let Some((_, allowed)) = MAY_NAME.iter().find(|(name, _)| *name == module) else {
            wrong.push(format!("{} belongs to no layer", file.display()));
            continue;
        };
        let text = code(&file);
        for (other, _) in MAY_NAME {
            let names = text.contains(&format!("crate::{other}::"))
                || text.contains(&format!("crate::{other};"));
            let may = ["error", &module].contains(other)
                || allowed.split_whitespace().any(|name| name == *other);
            if names && !may {
                wrong.push(format!("{} names crate::{other}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn crates_depend_only_on_what_they_may() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (name, folder, allowed) in CRATES {
        let manifest = root.join(folder).join("Cargo.toml");
        let text = std::fs::read_to_string(&manifest).expect("a manifest");
        let begin = text.find("[dependencies]").expect("dependencies");
        let depends = text[begin..].split("\n[").next().unwrap_or_default();
        for (other, ..) in CRATES {
            let line = |line: &str| line.split(['.', ' ', '=']).next() == Some(other);
            let may = allowed.split_whitespace().any(|name| name == *other);
            assert_eq!(depends.lines().any(line), may, "{name} and {other}");
        }
    }
}

#[test]
fn some_words_belong_to_some_sources() {
    for (folder, words, owner) in RESERVED {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        for file in sources(&root) {
            if owner.is_some_and(|owner| module_of(&root, &file) == owner) {
                continue;
            }
            let text = code(&file);
            let found = words.iter().find(|word| text.contains(**word));
            assert_eq!(found, None, "{}", file.display());
        }
    }
}

/// The command line parses, prints and exits; what a server or a C caller needs too is the engine's.
#[test]
fn the_command_line_stays_thin() {
    let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/src"));
    let lines = sources.iter().map(|file| {
        let text = std::fs::read_to_string(file).expect("text");
        text.lines().count()
    });
    let lines: usize = lines.sum();
    assert!(lines <= 3_500, "cli/src has {lines} lines");
}

#[test]
fn files_hold_one_idea() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["src", "../hub/src", "../cli/src", "../tests", "../benches"] {
        for file in sources(&root.join(folder)) {
            let lines = std::fs::read_to_string(&file)
                .expect("text")
                .lines()
                .count();
            assert!(lines <= 500, "{} has {lines} lines", file.display());
            let name = file
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            assert!(
                !["utils.rs", "common.rs", "helpers.rs"].contains(&name.as_str()),
                "{name}"
            );
        }
    }
}
