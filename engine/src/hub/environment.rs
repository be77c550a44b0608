//! What a person's environment says of the hub, as `huggingface_hub` reads it.

use std::env;
use std::fs;
use std::path::PathBuf;

use crate::error::HubError;

/// The hub, and the cache on this machine.
#[derive(Clone)]
pub struct Hub {
    pub(super) endpoint: String,
    pub(super) cache: PathBuf,
    pub(super) token: Option<String>,
    pub(super) offline: bool,
}

impl Hub {
    /// As the environment says: `HF_ENDPOINT`; `HF_HUB_CACHE`, else `hub` in `HF_HOME`, else in
    /// `huggingface` in `XDG_CACHE_HOME`, else in `~/.cache`; `HF_TOKEN`, else the file
    /// `HF_TOKEN_PATH`, else `token` in `HF_HOME`; `HF_HUB_OFFLINE`.
    ///
    /// # Errors
    /// [`HubError::NoHome`] where nothing names a place.
    pub fn from_env() -> Result<Self, HubError> {
        let home = || match (path("HF_HOME"), path("XDG_CACHE_HOME"), env::home_dir()) {
            (Some(home), ..) => Ok(home),
            (None, Some(cache), _) => Ok(cache.join("huggingface")),
            (None, None, Some(home)) => Ok(home.join(".cache/huggingface")),
            (None, None, None) => Err(HubError::NoHome),
        };
        let cache = match path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE")) {
            Some(cache) => cache,
            None => home()?.join("hub"),
        };
        let endpoint = text("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        let token = text("HF_TOKEN").or_else(|| text("HUGGING_FACE_HUB_TOKEN"));
        let token = token.or_else(|| {
            let file = path("HF_TOKEN_PATH").or_else(|| Some(home().ok()?.join("token")))?;
            let text = fs::read_to_string(file).ok()?;
            Some(text.trim().to_owned()).filter(|token| !token.is_empty())
        });
        let offline = text("HF_HUB_OFFLINE").is_some_and(|text| {
            ["1", "ON", "YES", "TRUE"].contains(&text.to_ascii_uppercase().as_str())
        });
        Ok(Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            cache,
            token,
            offline,
        })
    }

    /// The cache's folder.
    #[must_use]
    pub fn cache(&self) -> &std::path::Path {
        &self.cache
    }

    /// The hub's address.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

/// A variable that says something.
fn text(name: &str) -> Option<String> {
    let text = env::var(name).ok()?.trim().to_owned();
    Some(text).filter(|text| !text.is_empty())
}

/// A variable that names a path, with `~` for the home folder.
fn path(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env::var_os(name).filter(|value| !value.is_empty())?);
    Some(match path.strip_prefix("~") {
        Ok(rest) => env::home_dir()?.join(rest),
        Err(_) => path,
    })
}
