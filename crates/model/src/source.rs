//! The contract of a source: an enumerator in the job manager knows which splits
//! exist, readers in tasks read them. A reader's checkpoint is its splits, each
//! with its position inside (Flink's FLIP-27).

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::{CheckpointId, Clock, Result};

/// A part of a source that one reader reads, with the position reached. `data` is the
/// connector's own; nobody else reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// Unique within the source, stable across restores.
    pub id: String,
    #[serde(with = "crate::job_graph::bytes_as_base64")]
    pub data: Bytes,
}

/// Answer to a reader that asks for work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assignment {
    /// Read these (never empty).
    Splits(Vec<Split>),
    /// Nothing now; ask again later (an unbounded source between two files).
    NoneYet,
    /// Nothing now or ever: the reader ends once its own splits are read.
    NoMore,
}

/// A configured source. Built by [`crate::connector::Connectors`], in every process that needs it.
pub trait Source: Send + Sync {
    /// Schema of the batches its readers return (after projection).
    fn schema(&self) -> SchemaRef;
    /// Whether it ends by itself.
    fn is_bounded(&self) -> bool;
    /// The most rows that its readers will return in all; `None`: not known before they read.
    /// For estimates only.
    fn max_rows(&self) -> Option<u64> {
        None
    }
    /// `restored` is what [`SplitEnumerator::snapshot`] gave, or `None` on a fresh start.
    fn enumerator(
        &self,
        parallelism: u32,
        restored: Option<&[u8]>,
    ) -> Result<Box<dyn SplitEnumerator>>;
    fn reader(&self, context: ReaderContext) -> Result<Box<dyn SourceReader>>;
}

/// What a reader may know of where it runs.
#[derive(Clone)]
pub struct ReaderContext {
    pub subtask: u32,
    pub parallelism: u32,
    pub clock: Arc<dyn Clock>,
}

/// Runs in the job manager, inside the SourceCoordinator. Never called concurrently.
pub trait SplitEnumerator: Send {
    /// Looks for new splits. Called before the first assignment and then every
    /// [`Self::discovery_interval_ms`]. May wait on I/O.
    fn discover(&mut self) -> BoxFuture<'_, Result<()>>;
    /// `None`: discover once only.
    fn discovery_interval_ms(&self) -> Option<i64> {
        None
    }
    /// Decides what `subtask` reads next. Pure.
    fn assign(&mut self, subtask: u32) -> Assignment;
    /// Splits of a failed or rescaled reader come back, with their positions.
    fn add_splits_back(&mut self, splits: Vec<Split>);
    /// Everything that is not with a reader: unassigned splits and what was seen so far.
    fn snapshot(&self) -> Result<Bytes>;
}

/// What [`SourceReader::poll`] found.
#[derive(Debug)]
pub enum Polled {
    /// Rows (never an empty batch).
    Batch(RecordBatch),
    /// Rows that could not be decoded and are to go to the dead-letter output, in
    /// the schema of [`dead_letter_schema`].
    DeadLetter(RecordBatch),
    /// All splits given so far are read. Ask for more, or end if there are none.
    NeedSplits,
}

/// Runs at the head of a task.
pub trait SourceReader: Send {
    fn add_splits(&mut self, splits: Vec<Split>) -> Result<()>;
    /// The next rows, at most 8192 of them and about 256 KiB. Must be cancel-safe: it may
    /// be dropped at any await and called again. Must return what is there rather
    /// than wait to fill a batch. Must not take longer than about a millisecond of CPU.
    fn poll(&mut self) -> BoxFuture<'_, Result<Polled>>;
    /// The splits not read to their end, each with its position after the last batch returned.
    fn snapshot(&mut self) -> Result<Vec<Split>>;
    /// The checkpoint that held an earlier snapshot is complete.
    fn checkpoint_completed(&mut self, _id: CheckpointId) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }
    /// Counters since the start: (records skipped as bad, records sent to dead letter).
    fn bad_records(&self) -> (u64, u64) {
        (0, 0)
    }
    /// The split that the batch last returned by [`Self::poll`] came from. Readers that
    /// take turns among several splits say it, so that the watermark follows the slowest
    /// split; `None`: rows come in one order, and the watermark follows all of them.
    fn batch_split(&self) -> Option<&str> {
        None
    }
    /// Splits read to their end since the last call. Only of readers that name splits.
    fn take_finished_splits(&mut self) -> Vec<String> {
        Vec::new()
    }
    /// Records there that were not read yet, of all its splits; `None`: not known.
    fn pending_records(&self) -> Option<u64> {
        None
    }
    /// How many source records the rows returned so far stand for, when that differs
    /// from their number (a source that filters while it reads). For rates shown to people.
    fn records_read(&self) -> Option<u64> {
        None
    }
}

/// The schema of dead-letter rows: `source` (file or topic), `position` (offset or
/// line, as text), `raw` (the original bytes), `reason`, `failed_at` (ms).
pub fn dead_letter_schema() -> SchemaRef {
    use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
    Arc::new(Schema::new(vec![
        Field::new("source", DataType::Utf8, false),
        Field::new("position", DataType::Utf8, false),
        Field::new("raw", DataType::Binary, false),
        Field::new("reason", DataType::Utf8, false),
        Field::new("failed_at", DataType::Timestamp(TimeUnit::Millisecond, None), false),
    ]))
}
