//! Settings from environment variables, read like `huggingface_hub` reads them.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::HubError;
use crate::proxy::Proxies;

/// The hub, and the cache on this machine.
#[derive(Clone)]
pub struct Hub {
    pub(crate) endpoint: String,
    pub(crate) cache: PathBuf,
    pub(crate) token: Option<Token>,
    pub(crate) offline: bool,
    pub(crate) proxies: Proxies,
}

/// A person's token, and where it was found: messages name the place, never the token.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) place: String,
}

/// The value of a variable of that name.
type Variables<'a> = &'a dyn Fn(&str) -> Option<OsString>;

impl Hub {
    /// Settings from the process' environment; see [`from_variables`](Self::from_variables).
    ///
    /// # Errors
    /// [`HubError::NoHome`] if no variable gives a place for the cache.
    pub fn from_env() -> Result<Self, HubError> {
        Self::from_variables(&|name| match (name, env::var_os(name)) {
            // The system knows it where the variable does not say.
            ("HOME", None) => env::home_dir().map(PathBuf::into_os_string),
            (_, value) => value,
        })
    }

    /// As these variables say: `HF_ENDPOINT`; `HF_HUB_CACHE`, else `hub` in `HF_HOME`, else in
    /// `huggingface` in `XDG_CACHE_HOME`, else in `~/.cache`; `HF_TOKEN`, else the file
    /// `HF_TOKEN_PATH`, else `token` in `HF_HOME`; `HF_HUB_OFFLINE`; `https_proxy`, `http_proxy`,
    /// `all_proxy` and `no_proxy`, in capitals too; `HOME`. Certificates are the system's, or those
    /// of the process' own `SSL_CERT_FILE`.
    ///
    /// Tokens and proxies are looked at when the network is: a cache is read whatever they say.
    ///
    /// # Errors
    /// [`HubError::NoHome`] if no variable gives a place for the cache.
    pub fn from_variables(variable: Variables<'_>) -> Result<Self, HubError> {
        let text = |name: &str| text(variable, name);
        let path = |name: &str| path(variable, name);
        let home = || match (path("HF_HOME"), path("XDG_CACHE_HOME"), path("HOME")) {
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
        let token = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"]
            .into_iter()
            .find_map(|name| {
                let (text, place) = (text(name)?, name.to_owned());
                Some(Token { text, place })
            });
        let token = token.or_else(|| {
            let file = path("HF_TOKEN_PATH").or_else(|| Some(home().ok()?.join("token")))?;
            let text = fs::read_to_string(&file).ok()?.trim().to_owned();
            let place = file.display().to_string();
            (!text.is_empty()).then_some(Token { text, place })
        });
        let offline = text("HF_HUB_OFFLINE").is_some_and(|text| {
            ["1", "ON", "YES", "TRUE"].contains(&text.to_ascii_uppercase().as_str())
        });
        Ok(Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            cache,
            token,
            offline,
            proxies: Proxies::new(text),
        })
    }

    /// The cache's folder.
    #[must_use]
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// The hub's address.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

impl Token {
    /// Refuses a token that an HTTP header cannot hold.
    ///
    /// # Errors
    /// [`HubError::Token`].
    pub(crate) fn check(&self) -> Result<(), HubError> {
        let found = if self.text.contains(['\n', '\r']) {
            "a line break"
        } else if self.text.contains(char::is_whitespace) {
            "a space"
        } else if !self.text.chars().all(|c| c.is_ascii_graphic()) {
            "a character that is not ASCII"
        } else {
            return Ok(());
        };
        Err(HubError::Token {
            place: self.place.clone(),
            found,
        })
    }
}

/// A variable, if it is set and not empty.
fn text(variable: Variables<'_>, name: &str) -> Option<String> {
    let text = variable(name)?.into_string().ok()?.trim().to_owned();
    Some(text).filter(|text| !text.is_empty())
}

/// A variable that names a path, with `~` for the home folder.
fn path(variable: Variables<'_>, name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(variable(name).filter(|value| !value.is_empty())?);
    Some(match path.strip_prefix("~") {
        Ok(rest) => PathBuf::from(variable("HOME")?).join(rest),
        Err(_) => path,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(variables: &[(&str, &str)]) -> Result<Hub, HubError> {
        Hub::from_variables(&|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn the_cache_is_where_the_hubs_own_tools_have_it() {
        let cache = |variables: &[(&str, &str)]| hub(variables).unwrap().cache;
        assert_eq!(
            cache(&[("HOME", "/h")]),
            Path::new("/h/.cache/huggingface/hub")
        );
        assert_eq!(
            cache(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")]),
            Path::new("/x/huggingface/hub")
        );
        let home = [("HOME", "/h"), ("XDG_CACHE_HOME", "/x"), ("HF_HOME", "~/m")];
        assert_eq!(cache(&home), Path::new("/h/m/hub"));
        let named = [("HF_HOME", "/m"), ("HF_HUB_CACHE", "/c")];
        assert_eq!(cache(&named), Path::new("/c"));
        assert!(matches!(hub(&[]), Err(HubError::NoHome)));
    }

    #[test]
    fn a_token_is_checked_and_not_shown() {
        let said = |token: &str| {
            let hub = hub(&[("HOME", "/h"), ("HF_TOKEN", token)]).unwrap();
            hub.token.unwrap().check().map_err(|e| e.to_string())
        };
        said("hf_abc\n").unwrap();
        for (token, found) in [
            ("hf_a\nhf_b", "a line break"),
            ("hf_a\r\nb", "a line break"),
            ("Bearer hf_a", "a space"),
            ("hf_ä", "a character that is not ASCII"),
        ] {
            let error = said(token).unwrap_err();
            assert!(error.contains("HF_TOKEN has ") && error.contains(found));
            assert!(!error.contains("hf_a"), "{error}");
        }
    }
}
