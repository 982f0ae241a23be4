//! Where a process may listen with what it was given. Asked by both roles before they bind.

use std::net::SocketAddr;

use model::{Error, Result};

use crate::api_token::ApiTokens;
use crate::cluster_secret::ClusterSecret;

/// What a process was given to keep strangers out. The default is for loopback only.
#[derive(Clone, Debug, Default)]
pub struct Safety {
    /// Every HTTP request needs one of these.
    pub api_tokens: Option<ApiTokens>,
    /// Every RPC must prove it.
    pub cluster_secret: Option<ClusterSecret>,
    /// Listen beyond loopback without them.
    pub insecure: bool,
    /// Names, beside the bound address and loopback, that `Host` may carry.
    pub allowed_hosts: Vec<String>,
    /// `/metrics` needs no token.
    pub metrics_public: bool,
}

/// An address to listen on, and the flag that chose it.
#[derive(Clone, Copy, Debug)]
pub struct Listener {
    pub flag: &'static str,
    pub addr: SocketAddr,
}

/// Whether only this machine reaches `addr`.
pub fn is_loopback(addr: SocketAddr) -> bool {
    addr.ip().to_canonical().is_loopback()
}

impl Safety {
    /// A job manager listens beyond loopback only with an API token and a cluster secret:
    /// whoever submits a job, or speaks as a task manager, runs what he likes.
    ///
    /// # Errors
    /// User, naming the address and the flags that are missing.
    pub fn admit_job_manager(&self, listeners: &[Listener]) -> Result<()> {
        self.admit(listeners, true, true)
    }

    /// A task manager: a cluster secret for its RPC address.
    ///
    /// # Errors
    /// As [`Self::admit_job_manager`].
    pub fn admit_task_manager(&self, rpc: Listener) -> Result<()> {
        self.admit(&[rpc], false, true)
    }

    /// A listener for metrics alone: an API token, unless metrics are public.
    ///
    /// # Errors
    /// As [`Self::admit_job_manager`].
    pub fn admit_metrics(&self, metrics: Listener) -> Result<()> {
        if self.metrics_public { Ok(()) } else { self.admit(&[metrics], true, false) }
    }

    fn admit(&self, listeners: &[Listener], token: bool, secret: bool) -> Result<()> {
        let Some(open) = listeners.iter().find(|l| !is_loopback(l.addr)) else { return Ok(()) };
        let mut missing = Vec::new();
        if token && self.api_tokens.is_none() {
            missing.push("an API token (--api-token-file FILE)");
        }
        if secret && self.cluster_secret.is_none() {
            missing.push("a cluster secret (--cluster-secret-file FILE)");
        }
        if missing.is_empty() {
            return Ok(());
        }
        let Listener { flag, addr } = open;
        let missing = missing.join(" and ");
        if self.insecure {
            tracing::warn!(
                "{flag} {addr} is open to others without {missing}: --insecure was given"
            );
            return Ok(());
        }
        Err(Error::user(format!(
            "{flag} {addr} can be reached from other machines, which needs {missing}; give them, \
             listen on 127.0.0.1, or pass --insecure to let whoever reaches it run jobs"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(flag: &'static str, addr: &str) -> Listener {
        Listener { flag, addr: addr.parse().unwrap() }
    }

    fn full() -> Safety {
        Safety {
            api_tokens: Some(ApiTokens::parse("0123456789abcdef", "f").unwrap()),
            cluster_secret: Some(ClusterSecret::parse("0123456789abcdef", "f").unwrap()),
            ..Safety::default()
        }
    }

    #[test]
    fn loopback_needs_nothing() {
        for addr in ["127.0.0.1:0", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            Safety::default().admit_job_manager(&[at("--http-addr", addr)]).unwrap();
            Safety::default().admit_task_manager(at("--rpc-addr", addr)).unwrap();
        }
    }

    #[test]
    fn beyond_loopback_needs_both_or_the_word() {
        for addr in ["0.0.0.0:0", "[::]:0", "10.0.0.7:1", "[::ffff:10.0.0.7]:1"] {
            let listeners = [at("--rpc-addr", "127.0.0.1:1"), at("--http-addr", addr)];
            full().admit_job_manager(&listeners).unwrap();
            let error = Safety::default().admit_job_manager(&listeners).unwrap_err().chain();
            for word in ["--http-addr", "--api-token-file", "--cluster-secret-file", "--insecure"] {
                assert!(error.contains(word), "{error}");
            }
            let half = Safety { cluster_secret: None, ..full() };
            let error = half.admit_job_manager(&listeners).unwrap_err().chain();
            assert!(!error.contains("--api-token-file"), "{error}");
            assert!(half.admit_task_manager(listeners[1]).is_err());
            let half = Safety { api_tokens: None, ..full() };
            assert!(half.admit_job_manager(&listeners).is_err());
            assert!(half.admit_metrics(listeners[1]).is_err());
            half.admit_task_manager(listeners[1]).unwrap();
            let public = Safety { metrics_public: true, ..Safety::default() };
            public.admit_metrics(listeners[1]).unwrap();
            let open = Safety { insecure: true, ..Safety::default() };
            open.admit_job_manager(&listeners).unwrap();
        }
    }
}
