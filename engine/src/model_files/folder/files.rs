//! The source of a model's files: a disk, the program itself, or the table of released models.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::error::ConfigError;
use crate::model_files::released::Released;

/// The files in a model's own places.
#[derive(Clone, Debug)]
pub(super) enum Files {
    Disk(PathBuf),
    /// (path inside the folder with `/`, contents)
    Embedded(&'static [(&'static str, &'static [u8])]),
    /// A released model that is not on this machine: its configuration, and no weights.
    Released(&'static Released),
}

impl Files {
    /// Whether there is `path`, which is written with `/`.
    pub(super) fn contains(&self, path: &str) -> bool {
        match self {
            Self::Disk(folder) => folder.join(path).is_file(),
            Self::Embedded(files) => files.iter().any(|(embedded, _)| *embedded == path),
            Self::Released(model) => model.json(path).is_some(),
        }
    }

    /// `path` of the model `name` as messages show it.
    pub(super) fn shown(&self, name: &str, path: &str) -> String {
        match self {
            Self::Disk(folder) => folder.join(path).display().to_string(),
            Self::Embedded(_) | Self::Released(_) => format!("{name}/{path}"),
        }
    }

    /// The bytes of `path`, if they are no more than `limit`.
    pub(super) fn read(
        &self,
        path: &str,
        limit: u64,
        missing: &dyn Fn() -> ConfigError,
    ) -> Result<Cow<'static, [u8]>, ConfigError> {
        match self {
            Self::Disk(folder) => read_file(&folder.join(path), limit, missing).map(Cow::Owned),
            Self::Embedded(files) => {
                let file = files.iter().find(|(embedded, _)| *embedded == path);
                let (_, bytes) = file.ok_or_else(missing)?;
                Ok(Cow::Borrowed(*bytes))
            }
            Self::Released(model) => {
                let json = model.json(path).ok_or_else(missing)?;
                Ok(Cow::Owned(json.to_string().into_bytes()))
            }
        }
    }
}

/// The bytes of a file, if it is no longer than `limit`.
pub(super) fn read_file(
    path: &Path,
    limit: u64,
    missing: &dyn Fn() -> ConfigError,
) -> Result<Vec<u8>, ConfigError> {
    let failed = |source: std::io::Error| match source.kind() {
        ErrorKind::NotFound => missing(),
        _ => ConfigError::Read {
            file: path.display().to_string(),
            source,
        },
    };
    let len = fs::metadata(path).map_err(failed)?.len();
    if len > limit {
        return Err(ConfigError::TooLong {
            file: path.display().to_string(),
            len,
            limit,
        });
    }
    let mut bytes = Vec::new();
    // Limit the read as well: the file may grow, or report no length.
    let mut file = File::open(path).map_err(failed)?.take(limit);
    file.read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
