//! Whole objects in and out: one request when small, parts in parallel when large.
//! Called by `checkpoint` for state and by whoever writes a finished file.

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use model::Result;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::store_error;

/// Above this an object is uploaded in parts.
const MULTIPART_ABOVE: usize = 16 << 20;
/// S3's limits are 5 MiB and 10,000 parts: this gives objects of up to 78 GiB.
const PART: usize = 8 << 20;
const PARTS_AT_ONCE: usize = 4;

/// Writes an object, replacing an older one. It appears whole or not at all.
pub async fn put_all(store: &dyn ObjectStore, path: &Path, bytes: Bytes) -> Result<()> {
    if bytes.len() <= MULTIPART_ABOVE {
        let put = store.put(path, bytes.into()).await;
        return put.map(|_| ()).map_err(|e| store_error(format!("writing {path}"), e));
    }
    let mut upload =
        store.put_multipart(path).await.map_err(|e| store_error(format!("writing {path}"), e))?;
    let parts: Vec<_> = (0..bytes.len())
        .step_by(PART)
        .map(|start| upload.put_part(bytes.slice(start..bytes.len().min(start + PART)).into()))
        .collect();
    let sent: object_store::Result<Vec<()>> =
        stream::iter(parts).buffer_unordered(PARTS_AT_ONCE).try_collect().await;
    let outcome = match sent {
        Ok(_) => upload.complete().await.map(|_| ()),
        Err(error) => Err(error),
    };
    if outcome.is_err() {
        // Best effort: what is left over is invisible and the bucket's life cycle removes it.
        let _ = upload.abort().await;
    }
    outcome.map_err(|e| store_error(format!("writing {path}"), e))
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
