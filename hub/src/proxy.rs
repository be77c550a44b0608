//! Proxies, as the environment names them. One that is named and cannot be used is an error:
//! nothing goes past it.

use ureq::ProxyProtocol;

use crate::error::HubError;

/// The proxies for `https`, for `http`, and for both; whom to ask without one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies {
    https: Option<Named>,
    http: Option<Named>,
    all: Option<Named>,
    except: Vec<String>,
}

/// The value of a variable.
#[derive(Clone, Debug)]
struct Named {
    variable: &'static str,
    value: String,
}

/// A proxy to use, and how messages call it.
#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    pub(crate) proxy: ureq::Proxy,
    /// Address and variable, without a password.
    pub(crate) name: String,
}

impl Proxies {
    /// The proxies that the variables name. Small letters come first, as everywhere else.
    pub(crate) fn new(variable: impl Fn(&str) -> Option<String>) -> Self {
        let named = |names: [&'static str; 2]| {
            names.into_iter().find_map(|name| {
                let value = variable(name)?;
                Some(Named {
                    variable: name,
                    value,
                })
            })
        };
        let except = named(["no_proxy", "NO_PROXY"]).map(|named| named.value);
        let except = except.iter().flat_map(|list| list.split([',', ' ']));
        Self {
            https: named(["https_proxy", "HTTPS_PROXY"]),
            http: named(["http_proxy", "HTTP_PROXY"]),
            all: named(["all_proxy", "ALL_PROXY"]),
            except: except
                .filter(|entry| !entry.is_empty())
                .map(str::to_ascii_lowercase)
                .collect(),
        }
    }

    /// The proxy that `url` is to be asked through.
    ///
    /// # Errors
    /// [`HubError::Proxy`] where one is named and cannot be used.
    pub(crate) fn of(&self, url: &ureq::http::Uri) -> Result<Option<Proxy>, HubError> {
        let own = match url.scheme_str() {
            Some("https") => &self.https,
            _ => &self.http,
        };
        let Some(named) = own.as_ref().or(self.all.as_ref()) else {
            return Ok(None);
        };
        let port = url.port_u16().or_else(|| match url.scheme_str() {
            Some("https") => Some(443),
            _ => Some(80),
        });
        let host = url.host().unwrap_or_default().to_ascii_lowercase();
        let excepted = self.except.iter().any(|entry| matches(entry, &host, port));
        if excepted {
            return Ok(None);
        }
        named.open().map(Some)
    }
}

impl Named {
    fn open(&self) -> Result<Proxy, HubError> {
        let shown = shown(&self.value);
        let refused = |reason: &'static str| HubError::Proxy {
            variable: self.variable,
            address: shown.clone(),
            reason,
        };
        let proxy = ureq::Proxy::new(&self.value).map_err(|_| {
            refused(
                "expected http, https, socks4, socks4a, socks5 or socks5h, ://, a host and a port",
            )
        })?;
        let authority = proxy.uri().authority();
        let address = authority.map_or("", |authority| authority.as_str());
        let address = address.rsplit_once('@').map_or(address, |(_, host)| host);
        let numbered = address.rsplit_once(':').is_some_and(|(host, port)| {
            !port.ends_with(']') && (host.is_empty() || port.parse::<u16>().is_err())
        });
        if proxy.host().is_empty() || numbered {
            return Err(refused("expected a host, and a port from 0 to 65535"));
        }
        let nameless = matches!(
            proxy.protocol(),
            ProxyProtocol::Socks4 | ProxyProtocol::Socks4A
        );
        if nameless && proxy.username().is_some() {
            return Err(refused(
                "SOCKS4 takes no name and password: use socks5 where the proxy can",
            ));
        }
        Ok(Proxy {
            proxy,
            name: format!("{shown} ({})", self.variable),
        })
    }
}

/// The address without name and password.
fn shown(value: &str) -> String {
    match value.rsplit_once('@') {
        Some((before, host)) => match before.split_once("://") {
            Some((scheme, _)) => format!("{scheme}://{host}"),
            None => host.to_owned(),
        },
        None => value.to_owned(),
    }
}

/// Whether an entry of `no_proxy` means the host: its name or that of a domain it is in, with or
/// without a dot or `*.` before it, with or without a port; `*` means all.
fn matches(entry: &str, host: &str, port: Option<u16>) -> bool {
    if entry == "*" {
        return true;
    }
    let (name, wanted) = match entry.rsplit_once(':') {
        Some((name, number)) if !name.contains(':') || name.ends_with(']') => {
            (name, number.parse().ok())
        }
        _ => (entry, None),
    };
    if wanted.is_some() && wanted != port {
        return false;
    }
    let bare = |text: &str| text.trim_matches(['[', ']']).to_owned();
    let name = name.strip_prefix('*').unwrap_or(name);
    let (name, host) = (bare(name.strip_prefix('.').unwrap_or(name)), bare(host));
    let inside = host
        .strip_suffix(&name)
        .is_some_and(|before| before.ends_with('.'));
    !name.is_empty() && (host == name || inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        Proxies::new(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn name(proxies: &Proxies, url: &str) -> Result<Option<String>, String> {
        let proxy = proxies.of(&url.parse().unwrap());
        proxy
            .map(|proxy| proxy.map(|proxy| proxy.name))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn each_scheme_has_its_own_and_exceptions_go_without() {
        let all = proxies(&[
            ("HTTPS_PROXY", "socks5h://me:secret@p.co:1080"),
            ("all_proxy", "p.co:3128"),
            ("NO_PROXY", "hub.co, .in.co,*.at.co:8443 [::1] 10.0.0.1"),
        ]);
        let https = Ok(Some("socks5h://p.co:1080 (HTTPS_PROXY)".to_owned()));
        let http = Ok(Some("p.co:3128 (all_proxy)".to_owned()));
        assert_eq!(name(&all, "https://x.co/a"), https);
        assert_eq!(name(&all, "http://x.co/a"), http);
        for direct in [
            "https://hub.co/a",
            "https://cdn.HUB.co/a",
            "http://in.co",
            "https://x.at.co:8443/",
            "http://[::1]:80/",
            "http://10.0.0.1:9/",
        ] {
            assert_eq!(name(&all, direct), Ok(None), "{direct}");
        }
        assert_eq!(name(&all, "https://x.at.co/"), https);
        assert_eq!(name(&all, "https://evilhub.co/"), https);
        assert_eq!(name(&proxies(&[]), "https://x.co/"), Ok(None));
        let none = [("all_proxy", "p.co"), ("no_proxy", "*")];
        assert_eq!(name(&proxies(&none), "https://x.co/"), Ok(None));
    }

    #[test]
    fn what_cannot_be_used_is_named_without_its_password() {
        for bad in [
            "ftp://me:secret@p.co:21",
            "socks6://p.co",
            "http://",
            "http://p.co:99999",
            "http://p.co:",
            "socks5://me:secret@p.co:port",
            "http://p co:80",
            "socks4://me:secret@p.co",
        ] {
            let error = name(&proxies(&[("ALL_PROXY", bad)]), "https://x.co/").unwrap_err();
            assert!(error.contains("ALL_PROXY"), "{error}");
            assert!(error.contains("expected") || error.contains("SOCKS4"));
            assert!(!error.contains("secret"), "{error}");
        }
        for good in [
            "http://[::1]:80",
            "socks://p.co",
            "https://p.co",
            "p.co:1",
            "socks4a://p.co",
        ] {
            let named = name(&proxies(&[("ALL_PROXY", good)]), "https://x.co/");
            assert_eq!(named, Ok(Some(format!("{good} (ALL_PROXY)"))));
        }
    }
}
