//! Opens object stores by URI: local directories, S3 and stores like it, and memory for
//! tests. Called by `checkpoint` (manifests and state) and by the filesystem connectors.
//! Everything above sees only `object_store::ObjectStore` and paths below a prefix.

use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use model::{Error, ErrorKind, Result};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::path::Path;

mod memory;
pub mod requests;
mod s3;
mod transfer;

pub use transfer::{Parts, Written, get_all, put_parts};

/// An opened store and the place in it that the URI named.
#[derive(Clone, Debug)]
pub struct Opened {
    pub store: Arc<dyn ObjectStore>,
    /// Everything this caller reads and writes lies below it; empty for a whole store.
    pub prefix: Path,
    /// The directory behind the store, when it is a local one and was opened with [`open`].
    pub local_root: Option<PathBuf>,
    /// The URI in its normal form, absolute and without a trailing slash. Carries no
    /// credentials. Opening it again gives the same place.
    pub uri: String,
}

impl Opened {
    /// The path of `relative` below the prefix. Fails on `..`, empty segments and the like,
    /// so that a name from a file can never lead out of the prefix.
    pub fn path(&self, relative: &str) -> Result<Path> {
        let text = if self.prefix.as_ref().is_empty() {
            relative.to_owned()
        } else {
            format!("{}/{relative}", self.prefix)
        };
        Path::parse(&text).map_err(|e| {
            Error::user(format!("`{relative}` is not a path below {}", self.uri)).caused_by(e)
        })
    }
}

/// Opens the place that `uri` names, for writing: a local directory is created.
///
/// `file:///abs/dir`, a plain path, `s3://bucket/prefix` (everything else from the
/// environment, see [`open_read`]), `memory://name/prefix` (one store per name and
/// process).
pub fn open(uri: &str) -> Result<Opened> {
    let opened = match Scheme::parse(uri)? {
        Scheme::File(path) => open_directory(uri, path),
        Scheme::S3(rest) => s3::open(rest, &|name| std::env::var(name).ok()),
        Scheme::Memory(rest) => memory::open(rest),
    };
    opened.map(counted)
}

/// Every request from here on is seen by `/metrics`.
fn counted(opened: Opened) -> Opened {
    Opened { store: Arc::new(requests::CountedStore(opened.store)), ..opened }
}

/// As [`open`], but creates nothing: the prefix may be a file, a directory, or contain a
/// glob pattern. The store of a local path is the whole file system.
///
/// S3 takes from the environment: `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL`,
/// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION` or
/// `AWS_DEFAULT_REGION`, `AWS_ALLOW_HTTP`, `AWS_VIRTUAL_HOSTED_STYLE_REQUEST`,
/// `AWS_SKIP_SIGNATURE`.
pub fn open_read(uri: &str) -> Result<Opened> {
    let opened = match Scheme::parse(uri)? {
        Scheme::File(path) => {
            let path = absolute(path)?;
            let text = path.to_string_lossy();
            let prefix = Path::parse(text.as_ref()).map_err(|e| {
                Error::user(format!("`{text}` cannot be used as a path")).caused_by(e)
            })?;
            Ok(Opened {
                store: Arc::new(LocalFileSystem::new()),
                prefix,
                local_root: None,
                uri: format!("file://{}", text.trim_end_matches('/')),
            })
        }
        Scheme::S3(rest) => s3::open(rest, &|name| std::env::var(name).ok()),
        Scheme::Memory(rest) => memory::open(rest),
    };
    opened.map(counted)
}

/// Gives an object store's error its kind: whatever the store or the network did is
/// External, except what only the user can mend (no permission, no such bucket name).
pub fn store_error(what: impl std::fmt::Display, error: object_store::Error) -> Error {
    use object_store::Error as E;
    let (kind, help) = match &error {
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => {
            (ErrorKind::External, "; check the credentials and the bucket's policy")
        }
        E::InvalidPath { .. } => (ErrorKind::User, ""),
        E::NotSupported { .. } | E::NotImplemented { .. } => (ErrorKind::Internal, ""),
        _ => (ErrorKind::External, ""),
    };
    Error::new(kind, format!("{what} failed{help}")).caused_by(error)
}

enum Scheme<'a> {
    File(&'a str),
    S3(&'a str),
    Memory(&'a str),
}

impl<'a> Scheme<'a> {
    fn parse(uri: &'a str) -> Result<Self> {
        if uri.is_empty() {
            return Err(Error::user(
                "the storage URI is empty; give a directory, file:///dir or s3://bucket/prefix",
            ));
        }
        let Some((scheme, rest)) = uri.split_once("://") else {
            return Ok(Self::File(uri));
        };
        match scheme {
            "file" if rest.starts_with('/') => Ok(Self::File(rest)),
            "file" => Err(Error::user(format!(
                "`{uri}` is not a file URI: the path must be absolute, as in file:///{rest}"
            ))),
            "s3" | "s3a" => Ok(Self::S3(rest)),
            "memory" => Ok(Self::Memory(rest)),
            _ => Err(Error::user(format!(
                "storage `{scheme}://` is not supported; use file:///dir, s3://bucket/prefix \
                 or a plain path"
            ))),
        }
    }
}

fn absolute(path: &str) -> Result<PathBuf> {
    std::path::absolute(FsPath::new(path))
        .map_err(|e| Error::user(format!("`{path}` cannot be used as a path")).caused_by(e))
}

fn open_directory(uri: &str, path: &str) -> Result<Opened> {
    let path = absolute(path)?;
    std::fs::create_dir_all(&path).map_err(|e| {
        Error::user(format!("the storage directory {} cannot be created", path.display()))
            .caused_by(e)
    })?;
    let root = std::fs::canonicalize(&path)
        .map_err(|e| Error::user(format!("`{uri}` cannot be opened")).caused_by(e))?;
    let store = LocalFileSystem::new_with_prefix(&root)
        .map_err(|e| Error::user(format!("`{uri}` cannot be opened")).caused_by(e))?;
    Ok(Opened {
        store: Arc::new(store),
        prefix: Path::default(),
        uri: format!("file://{}", root.display()),
        local_root: Some(root),
    })
}

#[cfg(test)]
mod tests;
