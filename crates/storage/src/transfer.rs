//! Whole objects in and out: one request when small, parts in parallel when large.
//! Called by `checkpoint` for state.

use std::future;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use model::Result;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt};

use crate::store_error;

/// The pieces of an object, in order, while they are made; an error ends the object
/// unwritten. Of more than one, all but the last are equally long and at least 5 MiB: some
/// S3 stores take no others.
pub type Parts = BoxStream<'static, Result<Bytes>>;

const PARTS_AT_ONCE: usize = 4;

/// What an object came to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    pub length: u64,
    pub crc32c: u32,
}

impl Written {
    fn add(&mut self, part: &Bytes) {
        self.length += part.len() as u64;
        self.crc32c = crc32c::crc32c_append(self.crc32c, part);
    }
}

/// Writes an object, replacing an older one. It appears whole or not at all. Holds at most
/// [`PARTS_AT_ONCE`] parts and those that `parts` itself has ready.
pub async fn put_parts(store: &dyn ObjectStore, path: &Path, mut parts: Parts) -> Result<Written> {
    let failed = |e| store_error(format!("writing {path}"), e);
    let first = parts.try_next().await?.unwrap_or_default();
    let mut written = Written::default();
    let Some(second) = parts.try_next().await? else {
        written.add(&first);
        return store.put(path, first.into()).await.map(|_| written).map_err(failed);
    };
    let mut upload = store.put_multipart(path).await.map_err(failed)?;
    let all = stream::iter([Ok(first), Ok(second)]).chain(parts);
    let sent = send(&mut *upload, all.boxed(), path, &mut written).await;
    let outcome = match sent {
        Ok(()) => upload.complete().await.map(|_| written).map_err(failed),
        Err(error) => Err(error),
    };
    if outcome.is_err() {
        // Best effort: what is left over is invisible and the bucket's life cycle removes it.
        let _ = upload.abort().await;
    }
    outcome
}

async fn send(
    upload: &mut dyn MultipartUpload,
    parts: Parts,
    path: &Path,
    written: &mut Written,
) -> Result<()> {
    let failed = |e| store_error(format!("writing {path}"), e);
    parts
        .map_ok(|part| {
            written.add(&part);
            let sending = upload.put_part(part.into());
            async move { sending.await.map_err(failed) }
        })
        .try_buffer_unordered(PARTS_AT_ONCE)
        .try_for_each(|()| future::ready(Ok(())))
        .await
}

/// Reads a whole object. `Ok(None)` when there is none.
pub async fn get_all(store: &dyn ObjectStore, path: &Path) -> Result<Option<Bytes>> {
    let found = match store.get(path).await {
        Ok(found) => found,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(store_error(format!("reading {path}"), error)),
    };
    found.bytes().await.map(Some).map_err(|e| store_error(format!("reading {path}"), e))
}
