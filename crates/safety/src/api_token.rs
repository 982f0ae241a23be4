//! API tokens: kept as SHA-256 digests, compared in a time that does not depend on where
//! they differ. Read by `cli` from `--api-token-file`, asked by `http_guard.rs`.

use std::fmt;

use model::Result;
use ring::digest::{SHA256, digest};
use subtle::{Choice, ConstantTimeEq};

use crate::secret::{Secret, secrets};

type Digest = [u8; 32];

/// The tokens that are let in. More than one, so that a token can be replaced without a
/// moment in which neither holds.
#[derive(Clone)]
pub struct ApiTokens {
    digests: Vec<Digest>,
}

/// The first 8 hex digits of a token's digest: tells tokens apart in the audit log.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 4]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for ApiTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiTokens({})", self.digests.len())
    }
}

fn sha256(text: &str) -> Digest {
    let mut out = Digest::default();
    out.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    out
}

impl ApiTokens {
    /// One token a line.
    ///
    /// # Errors
    /// User: see [`Secret`] files; `what` names the file.
    pub fn parse(text: &str, what: &str) -> Result<Self> {
        let digests = secrets(text, what)?.iter().map(Secret::reveal).map(sha256).collect();
        Ok(Self { digests })
    }

    /// The fingerprint of `token` when it is one of ours. Every token is compared with
    /// every digest, so that the time tells nothing.
    pub fn admit(&self, token: &str) -> Option<Fingerprint> {
        let given = sha256(token);
        let mut found = Choice::from(0);
        for known in &self.digests {
            found |= known.as_slice().ct_eq(given.as_slice());
        }
        let [a, b, c, d, ..] = given;
        bool::from(found).then_some(Fingerprint([a, b, c, d]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_tokens_are_let_in() {
        let tokens = ApiTokens::parse("0123456789abcdef\nfedcba9876543210\n", "f").unwrap();
        let first = tokens.admit("0123456789abcdef").unwrap();
        assert_eq!(first.to_string(), "9f9f5111");
        assert_ne!(tokens.admit("fedcba9876543210"), Some(first));
        for wrong in ["", "0123456789abcde", "0123456789abcdef0", "0123456789abcdeF", "# old"] {
            assert_eq!(tokens.admit(wrong), None, "{wrong}");
        }
        assert_eq!(format!("{tokens:?}"), "ApiTokens(2)");
    }
}
