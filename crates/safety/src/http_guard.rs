//! Whether an HTTP request may pass: its `Host` (so that a foreign site's name cannot be
//! pointed at us), its `Origin` (so that a foreign page cannot use a browser's access), and
//! its bearer token. Pure; `jobmanager/src/rest/auth.rs` and the task manager's metrics
//! listener ask it for every request.

use std::net::{IpAddr, SocketAddr};

use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, Method};

use crate::api_token::{ApiTokens, Fingerprint};
use crate::bind::Safety;

/// Who sent a request that may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Anybody: the route needs no token, or the process has none.
    Anybody,
    /// The holder of this token.
    Token(Fingerprint),
}

/// Why a request may not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `Host` is missing, given twice, or names a host that is not ours.
    Host(String),
    /// A page of another site asks.
    Origin(String),
    /// No token.
    TokenMissing,
    /// Not one of our tokens.
    TokenWrong,
}

/// Asked once per request.
#[derive(Clone, Debug)]
pub struct HttpGuard {
    tokens: Option<ApiTokens>,
    bound: IpAddr,
    allowed_hosts: Vec<String>,
    metrics_public: bool,
}

impl HttpGuard {
    /// `bound` is the address the listener got.
    pub fn new(safety: &Safety, bound: SocketAddr) -> Self {
        let lower = |host: &String| host.to_ascii_lowercase();
        Self {
            tokens: safety.api_tokens.clone(),
            bound: bound.ip().to_canonical(),
            allowed_hosts: safety.allowed_hosts.iter().map(lower).collect(),
            metrics_public: safety.metrics_public,
        }
    }

    /// # Errors
    /// Why not.
    pub fn check(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<Caller, Refusal> {
        let reads = method == Method::GET || method == Method::HEAD;
        // Probes come with whatever name their sender uses, and learn nothing.
        if reads && matches!(path, "/healthz" | "/readyz") {
            return Ok(Caller::Anybody);
        }
        let host = self.host(headers)?;
        if let Some(origin) = headers.get(ORIGIN) {
            let text = origin.to_str().unwrap_or("unreadable");
            if !same_site(text, host) || headers.get_all(ORIGIN).iter().count() > 1 {
                return Err(Refusal::Origin(text.to_owned()));
            }
        }
        let Some(tokens) = &self.tokens else { return Ok(Caller::Anybody) };
        if reads && self.is_public(path) {
            return Ok(Caller::Anybody);
        }
        let token = bearer(headers).ok_or(Refusal::TokenMissing)?;
        tokens.admit(token).map(Caller::Token).ok_or(Refusal::TokenWrong)
    }

    /// The UI's own files hold no data, and ask for the token themselves.
    fn is_public(&self, path: &str) -> bool {
        matches!(path, "/" | "/ui" | "/favicon.ico")
            || path.starts_with("/ui/")
            || (self.metrics_public && path == "/metrics")
    }

    fn host<'a>(&self, headers: &'a HeaderMap) -> Result<&'a str, Refusal> {
        let mut given = headers.get_all(HOST).iter();
        let (Some(host), None) = (given.next(), given.next()) else {
            return Err(Refusal::Host("no host, or several".to_owned()));
        };
        let text = host.to_str().map_err(|_| Refusal::Host("unreadable".to_owned()))?;
        let name = without_port(text).to_ascii_lowercase();
        let ours = match name.trim_matches(['[', ']']).parse::<IpAddr>() {
            // An address cannot be a foreign site's name pointed at us. A listener on all
            // addresses has any of them.
            Ok(ip) => {
                let ip = ip.to_canonical();
                ip.is_loopback() || ip == self.bound || self.bound.is_unspecified()
            }
            Err(_) => name == "localhost",
        };
        let lower = text.to_ascii_lowercase();
        if ours || self.allowed_hosts.iter().any(|allowed| *allowed == name || *allowed == lower) {
            Ok(text)
        } else {
            Err(Refusal::Host(text.to_owned()))
        }
    }
}

/// `name:80` -> `name`; `[::1]:80` -> `[::1]`.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|b| b.is_ascii_digit())
                && (!name.contains(':') || name.ends_with(']')) =>
        {
            name
        }
        _ => host,
    }
}

/// Whether `origin` (`scheme://host[:port]`) is a page of `host`. A port that is its
/// scheme's usual one may be left out on either side.
fn same_site(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let usual = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let plain = |text: &str| {
        let lower = text.to_ascii_lowercase();
        lower.strip_suffix(usual).map_or_else(|| lower.clone(), str::to_owned)
    };
    plain(authority) == plain(host)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (given.next()?, given.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests;
