//! What went wrong below us, as our errors: each says what to do about the directory.

use std::path::Path;

use model::Error;

/// Of file operations of our own on `path`.
pub(crate) fn from_io(verb: &str, path: &Path, error: std::io::Error) -> Error {
    explain(&format!("cannot {verb}"), path, &error.to_string()).caused_by(error)
}

/// Of RocksDB in `dir`.
pub(crate) fn from_rocks(verb: &str, dir: &Path, error: rocksdb::Error) -> Error {
    explain(&format!("cannot {verb} cold state"), dir, error.as_ref()).caused_by(error)
}

fn explain(what: &str, path: &Path, cause: &str) -> Error {
    let has = |needle: &str| cause.to_ascii_lowercase().contains(needle);
    let at = path.display();
    if has("no space left") || has("quota exceeded") {
        Error::external(format!(
            "{what}: the disk of {at} is full; free space or point the state directory elsewhere"
        ))
    } else if has("permission denied") || has("read-only file system") {
        // A restart on the same machine meets the same directory.
        Error::user(format!(
            "{what}: {at} is not writable; give the task manager a state directory it may write to"
        ))
    } else if has("not a directory") || has("file exists") {
        Error::user(format!("{what}: {at} is not a directory; choose another state directory"))
    } else if has("too many open files") {
        Error::external(format!("{what} in {at}: too many open files; raise the limit (ulimit -n)"))
    } else if has("corruption") {
        Error::external(format!(
            "{what}: {at} is damaged, the disk may be failing; the job restarts from its checkpoint"
        ))
    } else {
        Error::external(format!("{what} in {at}"))
    }
}

#[cfg(test)]
mod tests {
    use model::ErrorKind;

    use super::*;

    #[test]
    fn errors_say_what_to_do() {
        for (cause, kind, advice) in [
            (
                "IO error: No space left on device: While appending",
                ErrorKind::External,
                "free space",
            ),
            ("IO error: Permission denied: /x/LOCK", ErrorKind::User, "may write to"),
            ("IO error: Too many open files", ErrorKind::External, "ulimit"),
            ("Corruption: block checksum mismatch", ErrorKind::External, "damaged"),
            ("IO error: something else", ErrorKind::External, "/state/t"),
        ] {
            let error = explain("cannot write cold state", Path::new("/state/t"), cause);
            assert_eq!(error.kind(), kind, "{cause}");
            assert!(error.message().contains(advice), "{error}");
            assert!(error.message().contains("/state/t"), "{error}");
        }
    }
}
