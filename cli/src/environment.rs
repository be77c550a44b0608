//! What the program's environment says of devices: the library itself reads no variables.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use kinora::gpu::GpuOptions;

use crate::error::CliError;

/// Options that the environment sets: `KINORA_BACKEND`, and the folder of compiled kernels.
///
/// # Errors
/// A backend that does not exist.
pub(crate) fn gpu_options() -> Result<GpuOptions, CliError> {
    let backend = named("KINORA_BACKEND").map(|name| name.to_string_lossy().parse());
    let backend = backend.transpose();
    Ok(GpuOptions {
        backend: backend.map_err(|source| CliError::Backend { source })?,
        cache: cache(),
        ..GpuOptions::default()
    })
}

/// The folder of what is kept between runs and can be lost at any time: that of `KINORA_CACHE`,
/// else `kinora` in the platform's cache folder. `None` where `KINORA_CACHE` is `off` or the
/// platform names none.
fn cache() -> Option<PathBuf> {
    if let Some(folder) = named("KINORA_CACHE") {
        return (folder != "off").then(|| folder.into());
    }
    let home = || named("HOME").map(PathBuf::from);
    let folder = if cfg!(target_os = "windows") {
        named("LOCALAPPDATA").map(PathBuf::from)
    } else if cfg!(target_os = "macos") {
        home().map(|home| home.join("Library/Caches"))
    } else {
        let xdg = named("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .filter(|folder| folder.is_absolute());
        xdg.or_else(|| home().map(|home| home.join(".cache")))
    };
    folder.map(|folder| folder.join("kinora"))
}

/// A variable that is not empty.
fn named(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}
