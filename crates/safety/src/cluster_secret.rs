//! The secret that the processes of one cluster share, and the proof of it that every RPC
//! carries: a keyed hash of the call's path and time. The secret itself never travels.
//! Used by `rpc_guard.rs`.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use model::Result;
use ring::hmac;

use crate::secret::{Secret, secrets};

/// How far the clocks of two machines may differ. A proof is of no use after that time.
const CLOCKS_DIFFER_MS: u64 = 5 * 60 * 1000;
const VERSION: &str = "v1";

/// Shared by all processes of a cluster. The first secret is proved, any of them is taken,
/// so that a secret can be replaced one process at a time.
#[derive(Clone)]
pub struct ClusterSecret {
    keys: Vec<hmac::Key>,
}

impl fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterSecret({})", self.keys.len())
    }
}

/// Milliseconds since the epoch on this machine's clock.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn signed(path: &str, at_ms: u64) -> String {
    format!("weir-cluster-secret {VERSION}\n{path}\n{at_ms}")
}

impl ClusterSecret {
    /// One secret a line.
    ///
    /// # Errors
    /// User: see [`Secret`] files; `what` names the file.
    pub fn parse(text: &str, what: &str) -> Result<Self> {
        let key = |secret: &Secret| hmac::Key::new(hmac::HMAC_SHA256, secret.reveal().as_bytes());
        Ok(Self { keys: secrets(text, what)?.iter().map(key).collect() })
    }

    /// The proof for a call of `path` (`/weir.v1.Service/Method`) at `at_ms`.
    pub fn prove(&self, path: &str, at_ms: u64) -> String {
        let tag = hmac::sign(&self.keys[0], signed(path, at_ms).as_bytes());
        let mut proof = format!("{VERSION}.{at_ms}.");
        for byte in tag.as_ref() {
            proof.push_str(&format!("{byte:02x}"));
        }
        proof
    }

    /// Whether `proof` was made with one of our secrets, for `path`, and lately.
    ///
    /// # Errors
    /// What is wrong with it, in words for the caller.
    pub fn check(
        &self,
        path: &str,
        proof: &str,
        now_ms: u64,
    ) -> std::result::Result<(), &'static str> {
        let mut parts = proof.splitn(3, '.');
        let (version, at_ms, tag) = (parts.next(), parts.next(), parts.next());
        let unreadable = "the proof of the cluster secret is not readable";
        let at_ms = at_ms.and_then(|text| text.parse::<u64>().ok()).ok_or(unreadable)?;
        let tag = tag.and_then(unhex).ok_or(unreadable)?;
        if version != Some(VERSION) {
            return Err(unreadable);
        }
        let text = signed(path, at_ms);
        let fits = self
            .keys
            .iter()
            .fold(false, |fits, key| hmac::verify(key, text.as_bytes(), &tag).is_ok() | fits);
        if !fits {
            return Err(
                "the caller has another cluster secret; start every process of a cluster with \
                 the same --cluster-secret-file",
            );
        }
        if now_ms.abs_diff(at_ms) > CLOCKS_DIFFER_MS {
            return Err(
                "the caller's clock differs from ours by more than 5 minutes; set the machines' \
                 clocks",
            );
        }
        Ok(())
    }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (index, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/weir.v1.JobManagerService/Register";

    fn secret(text: &str) -> ClusterSecret {
        ClusterSecret::parse(text, "f").unwrap()
    }

    #[test]
    fn a_proof_holds_for_its_secret_path_and_time_only() {
        let ours = secret("0123456789abcdef");
        let at = 1_700_000_000_000;
        let proof = ours.prove(PATH, at);
        assert!(!proof.contains("0123456789abcdef"));
        ours.check(PATH, &proof, at + 1000).unwrap();
        ours.check(PATH, &proof, at - 1000).unwrap();
        let other = secret("0123456789abcdeg");
        assert!(other.check(PATH, &proof, at).unwrap_err().contains("another cluster secret"));
        assert!(ours.check("/weir.v1.DataService/Exchange", &proof, at).is_err());
        assert!(ours.check(PATH, &proof, at + 301_000).unwrap_err().contains("clock"));
        assert!(ours.check(PATH, &proof, at - 301_000).unwrap_err().contains("clock"));
        let later = proof.replace("1700000000000", "1700000000001");
        assert!(ours.check(PATH, &later, at).is_err(), "the time is part of what is signed");
        for wrong in ["", "v1", "v1.1.", "v1.x.00", "v2.1.00", "v1.1.é", &"v".repeat(9000)] {
            assert!(ours.check(PATH, wrong, at).is_err(), "{wrong}");
        }
        assert!(ours.check(PATH, &proof.replacen("v1", "v2", 1), at).is_err());
    }

    #[test]
    fn a_secret_is_replaced_one_process_at_a_time() {
        let (old, both, new) = (
            secret("old-old-old-old-old"),
            secret("new-new-new-new-new\nold-old-old-old-old"),
            secret("new-new-new-new-new"),
        );
        let at = 1_700_000_000_000;
        both.check(PATH, &old.prove(PATH, at), at).unwrap();
        new.check(PATH, &both.prove(PATH, at), at).unwrap();
        assert!(new.check(PATH, &old.prove(PATH, at), at).is_err());
        assert_eq!(format!("{both:?}"), "ClusterSecret(2)");
    }
}
