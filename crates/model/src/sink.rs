//! The contract of a sink: a writer at the tail of a task, and a committer in the job
//! manager. Two-phase commit: what a writer prepared for a checkpoint becomes visible
//! only after that checkpoint's manifest is written, and committing twice is harmless.

use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::future::BoxFuture;

use crate::{CheckpointId, Clock, ExecutionAttemptId, Result};

/// What must be committed once the checkpoint is complete. The connector's own bytes;
/// kept in the manifest, so it must stay valid for as long as the manifest does.
pub type Committable = Bytes;

/// A configured sink.
pub trait Sink: Send + Sync {
    fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter>>;
    /// `None` for a sink with nothing to commit.
    fn committer(&self) -> Option<Box<dyn Committer>> {
        None
    }
    /// Whether the rows are the results of a query that somebody waits for. The task then keeps
    /// them until they are read, and [`Sink::writer`] is not called.
    fn collects(&self) -> bool {
        false
    }
    /// Whether the sink takes changelog batches (with the row kind column).
    fn accepts_changelog(&self) -> bool {
        false
    }
}

/// What a writer may know of where it runs.
#[derive(Clone)]
pub struct WriterContext {
    pub attempt: ExecutionAttemptId,
    /// Name and stable uid of the sink node in the job file.
    pub name: String,
    pub uid: String,
    pub parallelism: u32,
    pub clock: Arc<dyn Clock>,
}

/// Runs at the tail of a task. Waiting in `write` is the backpressure.
pub trait SinkWriter: Send {
    fn write(&mut self, batch: RecordBatch) -> BoxFuture<'_, Result<()>>;
    /// Called when the task's inputs run dry, so that buffered rows of a
    /// non-transactional sink (print) do not linger.
    fn flush(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }
    /// The barrier has come: freeze what was written since the last call, quickly, and
    /// return the future that makes it durable (staged, not visible). The task goes on
    /// while the future runs; the checkpoint is acknowledged when it ends.
    /// `id` is `None` for the last call, at the end of input.
    fn prepare_commit(
        &mut self,
        id: Option<CheckpointId>,
    ) -> Result<BoxFuture<'static, Result<Vec<Committable>>>>;
    /// Event-to-sink latency in microseconds (p50, p99, max) over the whole attempt, for a
    /// sink that measures it. Shown in [`crate::metrics::TaskMetrics`].
    fn latency_us(&self) -> Option<[u64; 3]> {
        None
    }
    /// The task is canceled or failed: drop what was not prepared. Best effort.
    fn abort(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// Runs in the job manager, after the manifest that names the committables is written.
pub trait Committer: Send + Sync {
    /// Makes them visible. Idempotent: called again after a failure and on every restore.
    fn commit(&self, committables: Vec<Committable>) -> BoxFuture<'_, Result<()>>;
    /// A restored job starts: remove what earlier attempts staged and no retained
    /// checkpoint names. `keep` holds the committables of the restored checkpoint.
    fn clean_up(&self, job: crate::JobId, keep: Vec<Committable>) -> BoxFuture<'_, Result<()>>;
}
