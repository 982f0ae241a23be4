//! A text that cannot be printed, serialised or compared by accident, and how a secret file
//! is read. Used by `api_token.rs`, `cluster_secret.rs` and whoever keeps a credential.

use std::fmt;

use model::{Error, Result};

/// Shorter than this, a secret can be guessed.
pub(crate) const SHORTEST: usize = 16;

/// A secret. Shows as `***`; [`Secret::reveal`] is the only way to its text.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Never log it and never put it into an error or an answer.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The secrets in a file's text, one a line; empty lines and lines that begin with `#` are
/// passed over. `what` names the file in errors, which never show a secret.
///
/// # Errors
/// User: no secret in it, one shorter than 16 characters, or with spaces or control
/// characters.
pub(crate) fn secrets(text: &str, what: &str) -> Result<Vec<Secret>> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let number = index + 1;
        if line.len() < SHORTEST {
            return Err(Error::user(format!(
                "{what}, line {number}: shorter than {SHORTEST} characters; make one with \
                 `openssl rand -hex 32`"
            )));
        }
        if !line.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Error::user(format!(
                "{what}, line {number}: a secret consists of visible ASCII characters without \
                 spaces"
            )));
        }
        found.push(Secret::new(line));
    }
    if found.is_empty() {
        return Err(Error::user(format!(
            "{what} holds no secret; write one a line, for example from `openssl rand -hex 32`"
        )));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret::new("correct-horse-battery");
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(format!("{:?}", Some(&[secret])), "Some([***])");
    }

    #[test]
    fn files_hold_one_secret_a_line_and_mistakes_do_not_show_them() {
        let found =
            secrets("# old and new\n0123456789abcdef\n\n  fedcba9876543210 \n", "f").unwrap();
        let texts: Vec<_> = found.iter().map(Secret::reveal).collect();
        assert_eq!(texts, ["0123456789abcdef", "fedcba9876543210"]);
        for (wrong, says) in [
            ("", "holds no secret"),
            ("# nothing\n", "holds no secret"),
            ("swordfish", "line 1: shorter than 16"),
            ("0123456789abcdef\nsword fish sword fish", "line 2: a secret consists of"),
        ] {
            let error = secrets(wrong, "the file").unwrap_err().chain();
            assert!(error.contains(says), "{error}");
            assert!(!error.contains("fish"), "{error}");
        }
    }
}
