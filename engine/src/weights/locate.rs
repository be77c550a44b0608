//! Which of a folder's files are a model part's weights.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::WeightsError;

/// What to open.
pub(super) enum Located {
    /// One file, of any container.
    Single(PathBuf),
    /// An index of shards in the same folder.
    Index(PathBuf),
}

/// The names that diffusers and transformers write, in the order in which they prefer them.
const USUAL: [&str; 4] = [
    "diffusion_pytorch_model.safetensors.index.json",
    "model.safetensors.index.json",
    "diffusion_pytorch_model.safetensors",
    "model.safetensors",
];

const INDEX: &str = ".index.json";

/// How the files' names end, in the order of preference. Which container a file is, its bytes say.
const ENDINGS: [&str; 8] = [
    ".safetensors.index.json",
    ".safetensors",
    ".gguf",
    ".bin.index.json",
    ".pth",
    ".pt",
    ".bin",
    ".ckpt",
];

/// Finds the weights at `path`, which is a file or a folder.
///
/// # Errors
/// [`WeightsError::Missing`], [`WeightsError::Read`], [`WeightsError::NoWeights`] or
/// [`WeightsError::Ambiguous`].
pub(super) fn locate(part: &str, path: &Path) -> Result<Located, WeightsError> {
    let metadata = fs::metadata(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => WeightsError::Missing {
            part: part.to_owned(),
            path: path.to_owned(),
        },
        _ => WeightsError::Read {
            path: path.to_owned(),
            source,
        },
    })?;
    if !metadata.is_dir() {
        let name = path.to_string_lossy();
        return Ok(if name.ends_with(INDEX) {
            Located::Index(path.to_owned())
        } else {
            Located::Single(path.to_owned())
        });
    }
    let names = file_names(path)?;
    if let Some(usual) = USUAL
        .iter()
        .find(|usual| names.iter().any(|name| name == *usual))
    {
        return Ok(located(path, usual));
    }
    for suffix in ENDINGS {
        let matching: Vec<&String> = names.iter().filter(|name| name.ends_with(suffix)).collect();
        match matching.as_slice() {
            [] => {}
            [name] => return Ok(located(path, name)),
            several => {
                return Err(WeightsError::Ambiguous {
                    part: part.to_owned(),
                    dir: path.to_owned(),
                    files: several
                        .iter()
                        .map(|name| name.as_str())
                        .collect::<Vec<_>>()
                        .join(", "),
                });
            }
        }
    }
    Err(WeightsError::NoWeights {
        part: part.to_owned(),
        dir: path.to_owned(),
    })
}

fn located(dir: &Path, name: &str) -> Located {
    if name.ends_with(INDEX) {
        Located::Index(dir.join(name))
    } else {
        Located::Single(dir.join(name))
    }
}

/// The names of the files in `dir`, sorted so that messages do not depend on the disk's order.
fn file_names(dir: &Path) -> Result<Vec<String>, WeightsError> {
    let read = |source| WeightsError::Read {
        path: dir.to_owned(),
        source,
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(read)? {
        names.push(
            entry
                .map_err(read)?
                .file_name()
                .to_string_lossy()
                .into_owned(),
        );
    }
    names.sort_unstable();
    Ok(names)
}
