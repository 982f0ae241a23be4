//! One file being written: encoded, uploaded in parts with bounded memory, closed when it
//! is large or old enough. Called by `writer.rs`.

use bytes::Bytes;
use model::arrow::array::RecordBatch;
use model::arrow::datatypes::SchemaRef;
use model::{Error, Result};
use object_store::buffered::BufWriter;
use object_store::path::Path;
use storage::Opened;
use tokio::io::AsyncWriteExt;

use super::encoder::Encoder;
use super::options::SinkOptions;

/// Size of an upload's parts; S3 wants at least 5 MiB. A smaller file is one request.
const PART: usize = 8 << 20;
/// Parts in flight. With the one being filled this bounds a file's memory to 24 MiB.
const PARTS_IN_FLIGHT: usize = 2;
/// Encoded bytes are handed to the upload in pieces of about this size.
const PIECE: usize = 128 << 10;

/// A closed file in the staging directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StagedFile {
    pub(super) path: Path,
    pub(super) length: u64,
    pub(super) rows: u64,
}

pub(super) struct OpenFile {
    path: Path,
    encoder: Encoder,
    upload: BufWriter,
    uploaded: u64,
    rows: u64,
    opened_at_ms: i64,
}

impl OpenFile {
    /// Begins a file; nothing is sent yet.
    pub(super) fn begin(
        opened: &Opened,
        path: Path,
        options: &SinkOptions,
        schema: SchemaRef,
        now_ms: i64,
    ) -> Result<Self> {
        let store = std::sync::Arc::clone(&opened.store);
        let upload = BufWriter::with_capacity(store, path.clone(), PART)
            .with_max_concurrency(PARTS_IN_FLIGHT);
        let encoder = Encoder::new(options, schema)?;
        Ok(Self { path, encoder, upload, uploaded: 0, rows: 0, opened_at_ms: now_ms })
    }

    pub(super) async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.encoder.write(batch)?;
        self.rows += batch.num_rows() as u64;
        if self.encoder.ready() >= PIECE {
            let piece = self.encoder.take();
            self.put(piece).await?;
        }
        Ok(())
    }

    async fn put(&mut self, piece: Vec<u8>) -> Result<()> {
        self.uploaded += piece.len() as u64;
        let put = self.upload.put(Bytes::from(piece)).await;
        put.map_err(|e| storage::store_error(format!("writing {}", self.path), e))
    }

    /// Whether the file is to be closed now.
    pub(super) fn is_full(&mut self, options: &SinkOptions, now_ms: i64) -> bool {
        self.encoder.size() >= options.rolling_size
            || options.rolling_interval_ms.is_some_and(|ms| now_ms - self.opened_at_ms >= ms)
    }

    /// Writes the rest and waits until the file is complete.
    pub(super) async fn finish(mut self) -> Result<StagedFile> {
        let rest = match self.encoder.finish() {
            Ok(rest) => rest,
            Err(error) => {
                abort(&mut self.upload, &self.path).await;
                return Err(error);
            }
        };
        self.uploaded += rest.len() as u64;
        let put = self.upload.put(Bytes::from(rest)).await;
        put.map_err(|e| storage::store_error(format!("writing {}", self.path), e))?;
        self.upload.shutdown().await.map_err(|e| {
            Error::external(format!("completing {} failed", self.path)).caused_by(e)
        })?;
        Ok(StagedFile { path: self.path, length: self.uploaded, rows: self.rows })
    }

    /// Drops what was sent.
    pub(super) async fn abort(mut self) {
        abort(&mut self.upload, &self.path).await;
    }
}

async fn abort(upload: &mut BufWriter, path: &Path) {
    if let Err(error) = upload.abort().await {
        tracing::warn!(%path, %error, "an unfinished upload could not be aborted");
    }
}
