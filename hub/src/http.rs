//! Requests to the hub and to the servers that it sends us on to.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::{Response, Uri};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body};

use crate::Hub;
use crate::backoff::Failure;
use crate::error::HubError;
use crate::proxy::{Proxies, Proxy};

/// A server that sends nothing for this long is treated as gone.
const SILENCE: Duration = Duration::from_secs(30);
/// Redirects of one request.
const REDIRECTS: usize = 6;

/// Connections, the route to each server, and the servers that may receive the token.
pub(crate) struct Client {
    agent: Agent,
    proxies: Proxies,
    origin: String,
    token: Option<String>,
}

/// A server's answer of any status, except temporary failures.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The address that answered, after redirects.
    pub(crate) url: String,
    pub(crate) response: Response<Body>,
}

impl Answer {
    pub(crate) fn host(&self) -> String {
        host(&self.url)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }
}

impl Client {
    /// # Errors
    /// [`HubError::Token`].
    pub(crate) fn new(hub: &Hub) -> Result<Self, HubError> {
        if let Some(token) = &hub.token {
            token.check()?;
        }
        // The system's, where companies put theirs; SSL_CERT_FILE names others.
        let certificates = rustls_native_certs::load_native_certs().certs;
        let certificates: Vec<Certificate<'static>> = certificates
            .iter()
            .map(|certificate| Certificate::from_der(certificate).to_owned())
            .collect();
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(RootCerts::new_with_certs(&certificates))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            // Followed here, so that the token stays where it belongs.
            .max_redirects(0)
            .max_redirects_will_error(false)
            // Chosen for each request.
            .proxy(None)
            .timeout_resolve(Some(SILENCE))
            .timeout_connect(Some(SILENCE))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE))
            .max_idle_connections_per_host(32)
            .max_idle_connections(64)
            .user_agent(concat!("kinora/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self {
            agent: agent.into(),
            proxies: hub.proxies.clone(),
            origin: origin(&hub.endpoint),
            token: hub.token.as_ref().map(|token| token.text.clone()),
        })
    }

    /// Whether there is a token to send.
    pub(crate) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Asks for `url`, or for some bytes of it.
    ///
    /// # Errors
    /// [`Failure`]: no connection, a server that is busy, redirects without end.
    pub(crate) fn get(&self, url: &str, range: Option<&Range<u64>>) -> Result<Answer, Failure> {
        let mut url = url.to_owned();
        for _ in 0..=REDIRECTS {
            let answer = self.once(&url, range)?;
            let next = match answer.status {
                301 | 302 | 303 | 307 | 308 => answer.header("location"),
                408 | 429 | 500..=599 => {
                    return Err(Failure::Busy {
                        host: answer.host(),
                        status: answer.status,
                        wait: wait(&answer),
                    });
                }
                _ => return Ok(answer),
            };
            let Some(next) = next.and_then(|next| joined(&url, next)) else {
                return Err(Failure::Final(HubError::Answer {
                    found: format!("{} without a place to go on to", answer.status),
                    expected: "a redirect to http:// or https://",
                    url,
                }));
            };
            self.keeps_secret(&url, &next)?;
            url = next;
        }
        Err(Failure::Final(HubError::Answer {
            found: "one redirect after the other".to_owned(),
            expected: "a file",
            url,
        }))
    }

    /// Refuses a redirect to an unencrypted connection, unless the hub's own is unencrypted.
    fn keeps_secret(&self, from: &str, to: &str) -> Result<(), HubError> {
        if is_open(to) && !is_open(&self.origin) {
            return Err(HubError::OpenRedirect {
                url: from.to_owned(),
                to: host(to),
            });
        }
        Ok(())
    }

    fn once(&self, url: &str, range: Option<&Range<u64>>) -> Result<Answer, Failure> {
        // Lengths and ranges are those of the file, not of a compressed one.
        let mut request = self.agent.get(url).header("accept-encoding", "identity");
        let proxy = match url.parse() {
            Ok(uri) => self.proxies.of(&uri)?,
            // Said by the request itself.
            Err(_) => None,
        };
        if let Some(proxy) = &proxy {
            request = request.config().proxy(Some(proxy.proxy.clone())).build();
        }
        if let Some(token) = &self.token
            && origin(url) == self.origin
        {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(range) = range {
            let last = range.end.saturating_sub(1);
            request = request.header("range", format!("bytes={}-{last}", range.start));
        }
        match request.call() {
            // Asked for by a proxy alone, which answers in the server's place.
            Ok(response) if response.status() == 407 => {
                Err(Failure::Final(HubError::ProxyRefuses {
                    proxy: proxy
                        .map_or_else(|| "a proxy on the way".to_owned(), |proxy| proxy.name),
                    reason: format!("{PASSWORD} (407)"),
                }))
            }
            Ok(response) => Ok(Answer {
                status: response.status().as_u16(),
                url: url.to_owned(),
                response,
            }),
            Err(error @ (ureq::Error::BadUri(_) | ureq::Error::Http(_))) => {
                Err(Failure::Final(HubError::Answer {
                    url: url.to_owned(),
                    found: error.to_string(),
                    expected: "an address that begins with http:// or https://",
                }))
            }
            Err(error) => {
                let mut reason = error.to_string();
                if reason.contains("certificate") {
                    reason.push_str(" (SSL_CERT_FILE names a file of others to trust)");
                }
                let mut host = host(url);
                if let Some(Proxy { name, .. }) = proxy {
                    if let Some(reason) = refused_by_proxy(&error) {
                        let proxy = name;
                        return Err(Failure::Final(HubError::ProxyRefuses { proxy, reason }));
                    }
                    host = format!("{host} through the proxy {name}");
                }
                Err(Failure::Network { host, reason })
            }
        }
    }
}

/// The remedy in the error for proxies that require a password.
const PASSWORD: &str =
    "it wants a name and a password, or others: write them as SCHEME://NAME:PASSWORD@HOST:PORT";

/// Why a proxy will not let the request through however often it is asked; nothing where it may.
fn refused_by_proxy(error: &ureq::Error) -> Option<String> {
    match error {
        ureq::Error::ConnectProxyFailed(reason) => {
            let status = reason.strip_prefix("proxy server responded ")?;
            match status.get(..3)?.parse() {
                Ok(407) => Some(format!("{PASSWORD} (407)")),
                // One that is busy, or cannot reach the server now.
                Ok(408 | 429 | 500..=599) | Err(_) => None,
                Ok(status) => Some(format!("it answers {status}")),
            }
        }
        ureq::Error::Io(error) => {
            let words = error.to_string();
            match words.as_str() {
                "no acceptable auth methods" | "password authentication failed" => {
                    Some(PASSWORD.to_owned())
                }
                "invalid response version" => Some("it does not speak SOCKS".to_owned()),
                "connection not allowed by ruleset" => Some(words),
                _ => None,
            }
        }
        _ => None,
    }
}

/// How long the server wants to be left alone: `Retry-After` in seconds, or the hub's `RateLimit`,
/// whose `t` is the time to the next window.
fn wait(answer: &Answer) -> Option<Duration> {
    let after = answer
        .header("retry-after")
        .and_then(|text| text.trim().parse().ok());
    let window = || {
        let limit = answer.header("ratelimit")?;
        limit
            .split(';')
            .find_map(|item| item.trim().strip_prefix("t=")?.parse().ok())
    };
    after.or_else(window).map(Duration::from_secs)
}

/// The server's name, with its port where that is not the usual one.
fn host(url: &str) -> String {
    let uri: Option<Uri> = url.parse().ok();
    uri.and_then(|uri| Some(uri.authority()?.to_string()))
        .unwrap_or_else(|| url.to_owned())
}

/// Scheme, server and port: where a token may go.
fn origin(url: &str) -> String {
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    format!("{scheme}://{}", host(url)).to_ascii_lowercase()
}

/// Whether the connection is unencrypted.
fn is_open(url: &str) -> bool {
    url.starts_with("http://")
}

/// Where a redirect leads.
fn joined(from: &str, location: &str) -> Option<String> {
    if location.starts_with("http://") || location.starts_with("https://") {
        return Some(location.to_owned());
    }
    match location.strip_prefix("//") {
        Some(rest) => Some(format!("{}://{rest}", from.split_once("://")?.0)),
        None => location
            .starts_with('/')
            .then(|| format!("{}{location}", origin(from))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_redirect_leads_out_of_tls() {
        let client = |endpoint: &str| Client {
            agent: Agent::new_with_defaults(),
            proxies: Proxies::default(),
            origin: origin(endpoint),
            token: None,
        };
        let [hub, cdn] = ["https://hub.co/a", "http://cdn.co:81/b"];
        let error = client("https://Hub.co").keeps_secret(hub, cdn);
        assert_eq!(
            error.unwrap_err().to_string(),
            "https://hub.co/a leads on to cdn.co:81 by http, which anybody on the way can read and change: refused, since the hub itself is asked by https; HF_ENDPOINT names another"
        );
        client("https://hub.co").keeps_secret(hub, hub).unwrap();
        client("http://127.0.0.1:80")
            .keeps_secret(hub, cdn)
            .unwrap();
    }

    #[test]
    fn redirects_are_followed_and_origins_told_apart() {
        let from = "https://Hub.co:8443/a/b?c";
        assert_eq!(
            joined(from, "/x?y").as_deref(),
            Some("https://hub.co:8443/x?y")
        );
        assert_eq!(
            joined(from, "//cdn.co/x").as_deref(),
            Some("https://cdn.co/x")
        );
        assert_eq!(
            joined(from, "http://cdn.co/x").as_deref(),
            Some("http://cdn.co/x")
        );
        assert_eq!(joined(from, "ftp://cdn.co/x"), None);
        assert_eq!(origin(from), "https://hub.co:8443");
        assert_ne!(origin("https://hub.co/x"), origin("http://hub.co/x"));
        assert_ne!(origin("https://hub.co.evil/x"), origin("https://hub.co/x"));
    }
}
