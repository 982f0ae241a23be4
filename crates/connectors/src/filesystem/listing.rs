//! Finds the files that a path, a directory or a glob pattern names. Called by the
//! enumerator (`splits.rs`).

use std::sync::Arc;

use futures::TryStreamExt;
use glob::{MatchOptions, Pattern};
use model::{Error, Result};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

/// What `path` means: everything below a fixed prefix, perhaps filtered by a pattern.
#[derive(Clone, Debug)]
pub(super) struct Location {
    pub(super) store: Arc<dyn ObjectStore>,
    /// `file` and the like are near and cheap to ask in small pieces; S3 is not.
    pub(super) is_local: bool,
    /// As the user wrote it, for messages.
    written: String,
    prefix: Path,
    pattern: Option<Pattern>,
}

/// A file found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FoundFile {
    pub(super) path: String,
    pub(super) size: u64,
    /// When it was last written to, in milliseconds since the epoch.
    pub(super) modified_ms: i64,
}

impl Location {
    /// Opens the store; asks it nothing.
    pub(super) fn open(written: &str) -> Result<Self> {
        let opened = storage::open_read(written)?;
        let whole = opened.prefix.as_ref().to_owned();
        let is_glob = |segment: &str| segment.contains(['*', '?', '[']);
        let (prefix, pattern) = if whole.split('/').any(is_glob) {
            let fixed: Vec<_> = whole.split('/').take_while(|s| !is_glob(s)).collect();
            let pattern = Pattern::new(&whole).map_err(|e| {
                Error::user(format!("`{written}` is not a valid glob pattern: {}", e.msg))
            })?;
            (fixed.join("/"), Some(pattern))
        } else {
            (whole, None)
        };
        let prefix = Path::parse(&prefix)
            .map_err(|e| Error::user(format!("`{written}` is not a valid path")).caused_by(e))?;
        Ok(Self {
            store: opened.store,
            is_local: !opened.uri.starts_with("s3"),
            written: written.to_owned(),
            prefix,
            pattern,
        })
    }

    /// Every file that matches, by path. Names that start with `.` or `_` below the
    /// prefix are hidden, as are empty files.
    pub(super) async fn list(&self) -> Result<Vec<FoundFile>> {
        let mut found = Vec::new();
        if self.pattern.is_none()
            && let Some(meta) = self.head().await?
        {
            found.push(meta);
        } else {
            let prefix = (!self.prefix.as_ref().is_empty()).then_some(&self.prefix);
            let listed: Result<Vec<_>, _> = self.store.list(prefix).try_collect().await;
            match listed {
                Ok(listed) => found.extend(listed.into_iter().filter(|m| self.matches(m))),
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(self.failed("listing", error)),
            }
        }
        let mut files: Vec<_> = found
            .into_iter()
            .filter(|m| m.size > 0)
            .map(|m| FoundFile {
                path: m.location.as_ref().to_owned(),
                size: m.size,
                modified_ms: m.last_modified.timestamp_millis(),
            })
            .collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    /// The object that the path names, if it names one (rather than a directory).
    async fn head(&self) -> Result<Option<ObjectMeta>> {
        if self.prefix.as_ref().is_empty() {
            return Ok(None);
        }
        match self.store.head(&self.prefix).await {
            Ok(meta) => Ok(Some(meta)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("looking up", error)),
        }
    }

    fn matches(&self, meta: &ObjectMeta) -> bool {
        let path = meta.location.as_ref();
        let below = path.strip_prefix(self.prefix.as_ref()).unwrap_or(path);
        let hidden = below.split('/').any(|s| s.starts_with(['.', '_']));
        let options = MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: true,
        };
        !hidden && self.pattern.as_ref().is_none_or(|p| p.matches_with(path, options))
    }

    fn failed(&self, what: &str, error: object_store::Error) -> Error {
        storage::store_error(format!("{what} `{}`", self.written), error)
    }

    /// What to tell a user who named nothing.
    pub(super) fn nothing_found(&self) -> Error {
        Error::user(format!(
            "no file matches `{}`; check the path (hidden and empty files are not read)",
            self.written
        ))
    }
}

#[cfg(test)]
mod tests {
    use object_store::PutPayload;

    use super::*;

    async fn filled(name: &str, paths: &[&str]) {
        let opened = storage::open(&format!("memory://{name}")).unwrap();
        for path in paths {
            opened.store.put(&Path::from(*path), PutPayload::from_static(b"x\n")).await.unwrap();
        }
    }

    async fn names(uri: &str) -> Vec<String> {
        let files = Location::open(uri).unwrap().list().await.unwrap();
        files.into_iter().map(|f| f.path).collect()
    }

    #[tokio::test]
    async fn globs_directories_and_files() {
        let paths =
            ["a/1.csv", "a/2.csv", "a/b/3.csv", "a/.hidden/4.csv", "a/_tmp.csv", "ab/5.csv"];
        filled("listing", &paths).await;
        assert_eq!(names("memory://listing/a").await, ["a/1.csv", "a/2.csv", "a/b/3.csv"]);
        assert_eq!(names("memory://listing/a/*.csv").await, ["a/1.csv", "a/2.csv"]);
        assert_eq!(names("memory://listing/a/**/*.csv").await.len(), 3);
        assert_eq!(names("memory://listing/a*/[35].csv").await, ["ab/5.csv"]);
        assert_eq!(names("memory://listing/a/b/3.csv").await, ["a/b/3.csv"]);
        assert!(names("memory://listing/c/*.csv").await.is_empty());
    }

    #[test]
    fn a_bad_pattern_is_named() {
        let error = Location::open("memory://listing/a/***/x").unwrap_err();
        assert!(error.message().contains("glob pattern"), "{error}");
    }
}
