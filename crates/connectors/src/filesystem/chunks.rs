//! The bytes of a file as a stream of chunks with a little read-ahead. Called by `text.rs`.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use model::{Error, Result};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::compression::{Compression, decompress};
use super::listing::Location;

const LOCAL_CHUNK: u64 = 1 << 20;
const REMOTE_CHUNK: u64 = 4 << 20;
/// Chunks in flight. A local chunk is read faster than it is decoded.
const LOCAL_AHEAD: usize = 2;
const REMOTE_AHEAD: usize = 3;
/// Chunks behind the end of a split, where only the rest of one record is wanted.
const TAIL_CHUNK: u64 = 64 << 10;

/// A file to read, with how.
#[derive(Clone)]
pub(super) struct FileHandle {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) is_local: bool,
    pub(super) path: Path,
    pub(super) size: u64,
    pub(super) compression: Compression,
}

impl FileHandle {
    pub(super) fn new(
        location: &Location,
        path: &str,
        size: u64,
        compression: Option<Compression>,
    ) -> Result<Self> {
        let parsed = Path::parse(path)
            .map_err(|e| Error::internal(format!("`{path}` is not a path")).caused_by(e))?;
        Ok(Self {
            store: Arc::clone(&location.store),
            is_local: location.is_local,
            path: parsed,
            size,
            compression: compression.unwrap_or_else(|| Compression::of_name(path)),
        })
    }

    /// The file's name for messages.
    pub(super) fn name(&self) -> &str {
        self.path.as_ref()
    }

    /// The decompressed bytes. From offset `from`, with read-ahead up to `end`, for a plain
    /// file; from the start for a compressed one, which cannot be entered in the middle.
    pub(super) fn open(&self, from: u64, end: u64) -> BoxStream<'static, Result<Bytes>> {
        match self.compression {
            Compression::None => self.plain(from, end),
            packed => decompress(self.plain(0, self.size), packed, self.name().to_owned()),
        }
    }

    fn plain(&self, from: u64, end: u64) -> BoxStream<'static, Result<Bytes>> {
        let (chunk, ahead) = match self.is_local {
            true => (LOCAL_CHUNK, LOCAL_AHEAD),
            false => (REMOTE_CHUNK, REMOTE_AHEAD),
        };
        let file = self.clone();
        let head = stream::iter(ranges(from, end, chunk))
            .map(move |range| {
                // Spawned, so that the bytes come while the task decodes.
                let read = tokio::spawn(file.clone().read(range));
                async move {
                    read.await.unwrap_or_else(|e| {
                        Err(Error::internal("reading a file was interrupted").caused_by(e))
                    })
                }
            })
            .buffered(ahead);
        let file = self.clone();
        let tail = stream::iter(ranges(end.max(from), self.size, TAIL_CHUNK))
            .then(move |range| file.clone().read(range));
        head.chain(tail).boxed()
    }

    async fn read(self, range: Range<u64>) -> Result<Bytes> {
        let start = range.start;
        self.store
            .get_range(&self.path, range)
            .await
            .map_err(|e| storage::store_error(format!("reading {} at byte {start}", self.path), e))
    }
}

fn ranges(from: u64, end: u64, chunk: u64) -> impl Iterator<Item = Range<u64>> {
    let mut next = from;
    std::iter::from_fn(move || {
        (next < end).then(|| {
            let range = next..end.min(next + chunk);
            next = range.end;
            range
        })
    })
}
