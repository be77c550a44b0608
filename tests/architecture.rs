//! The layers of ARCHITECTURE.md: each module of the engine names only what stands to its right.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::path::{Path, PathBuf};

/// What each module may name. `gpu` alone names wgpu.
const MAY_NAME: &[(&str, &[&str])] = &[
    (
        "job",
        &[
            "pipeline",
            "request",
            "model_files",
            "models",
            "sampling",
            "media",
            "pictures",
            "gpu",
            "weights",
            "record",
            "tensor",
            "part",
            "cancel",
            "error",
        ],
    ),
    (
        "pipeline",
        &[
            "request",
            "model_files",
            "models",
            "text",
            "sampling",
            "gpu",
            "weights",
            "ops",
            "record",
            "part",
            "counts",
            "cancel",
            "error",
        ],
    ),
    ("request", &["model_files", "text", "sampling", "error"]),
    (
        "bench",
        &[
            "model_files",
            "models",
            "gpu",
            "weights",
            "ops",
            "record",
            "tensor",
            "error",
        ],
    ),
    (
        "model_files",
        &[
            "models", "text", "weights", "sampling", "tensor", "staged", "panics", "error",
        ],
    ),
    ("text", &["panics", "error"]),
    (
        "models",
        &["nn", "ops", "weights", "gpu", "record", "tensor", "error"],
    ),
    ("nn", &["ops", "weights", "record", "tensor", "error"]),
    ("ops", &["record", "shader", "tensor", "error"]),
    ("sampling", &["error"]),
    ("media", &["staged", "error"]),
    ("pictures", &["media", "error"]),
    (
        "gpu",
        &[
            "record", "shader", "weights", "tensor", "cancel", "panics", "error",
        ],
    ),
    ("weights", &["tensor", "staged", "error"]),
    ("record", &["shader", "tensor", "error"]),
    ("shader", &["tensor", "error"]),
    ("tensor", &["error"]),
    ("counts", &["part"]),
    ("part", &["sampling"]),
    ("cancel", &[]),
    ("staged", &[]),
    ("panics", &[]),
    ("error", &["tensor"]),
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
            if *other != module && names && !allowed.contains(other) {
                wrong.push(format!("{} names crate::{other}", file.display()));
            }
        }
        if module != "gpu" && text.contains("wgpu::") {
            wrong.push(format!("{} names wgpu", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_command_line_knows_no_arithmetic() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/src");
    for file in sources(&root) {
        let text = code(&file);
        for outside in ["wgpu::", "naga::", "kinora::nn", "kinora::record::Recorder"] {
            assert!(
                !text.contains(outside),
                "{} names {outside}",
                file.display()
            );
        }
    }
}

#[test]
fn files_hold_one_idea() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["src", "../cli/src", "../tests"] {
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
