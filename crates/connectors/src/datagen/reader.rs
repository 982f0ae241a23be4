//! Reads splits of generated rows, flat out or on schedule. Runs at the head of a task.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use model::arrow::array::RecordBatch;
use model::arrow::datatypes::SchemaRef;
use model::source::{Polled, SourceReader, Split};
use model::{Clock, Result};

use super::generator::{Generator, Moment, Rows, batch};
use super::options::DatagenOptions;
use super::splits::Stride;

const MAX_ROWS: u64 = 8192;
const BATCH_BYTES: usize = 256 << 10;
/// How long the reader waits at most before it looks for due rows again.
const TICK: Duration = Duration::from_millis(1);

pub(super) struct DatagenReader {
    options: DatagenOptions,
    schema: SchemaRef,
    clock: Arc<dyn Clock>,
    splits: VecDeque<Stride>,
    batch_rows: u64,
    /// Number and id of the split read last.
    current: Option<(u32, String)>,
    /// Ids of splits read to their end and not reported yet.
    finished: Vec<String>,
}

impl DatagenReader {
    pub(super) fn new(options: DatagenOptions, schema: SchemaRef, clock: Arc<dyn Clock>) -> Self {
        let row_bytes: usize = options.generators.iter().map(Generator::width).sum();
        let batch_rows = (BATCH_BYTES / row_bytes.max(1)).max(1) as u64;
        let splits = VecDeque::new();
        let batch_rows = batch_rows.min(MAX_ROWS);
        let finished = Vec::new();
        Self { options, schema, clock, splits, batch_rows, current: None, finished }
    }

    fn end(&self) -> u64 {
        self.options.rows.unwrap_or(u64::MAX)
    }

    /// How many rows of the split may go out now.
    fn due(&self, split: &Stride, now_us: i64) -> u64 {
        let until = match (self.options.rows_per_second, split.started_us) {
            (Some(rate), Some(started)) => {
                let elapsed = u128::try_from(now_us.saturating_sub(started)).unwrap_or(0);
                // Row n is due n / rate seconds after row 0, which is due at once.
                let due = elapsed * u128::from(rate) / 1_000_000 + 1;
                u64::try_from(due).unwrap_or(u64::MAX).min(self.end())
            }
            _ => self.end(),
        };
        until.saturating_sub(split.row).div_ceil(split.stride)
    }

    /// The next batch of the split at the front, if rows are due; the split moves to the
    /// back.
    fn next_batch(&mut self, now_us: i64) -> Result<Option<RecordBatch>> {
        let end = self.end();
        let ended = self.splits.iter().filter(|s| s.row >= end).map(|s| s.id());
        self.finished.extend(ended);
        self.splits.retain(|s| s.row < end);
        for _ in 0..self.splits.len() {
            let Some(mut split) = self.splits.pop_front() else { break };
            let started_us = *split.started_us.get_or_insert(now_us);
            let count = self.due(&split, now_us).min(self.batch_rows);
            if count == 0 {
                self.splits.push_back(split);
                continue;
            }
            let rows = Rows { first: split.row, stride: split.stride, count: count as usize };
            let rate = self.options.rows_per_second;
            let moment = Moment { seed: self.options.seed, now_us, started_us, rate };
            let batch = batch(&self.schema, &self.options.generators, rows, &moment)?;
            split.row = split.row.saturating_add(count.saturating_mul(split.stride));
            if self.current.as_ref().is_none_or(|(number, _)| *number != split.number) {
                self.current = Some((split.number, split.id()));
            }
            self.splits.push_back(split);
            return Ok(Some(batch));
        }
        Ok(None)
    }
}

impl SourceReader for DatagenReader {
    fn add_splits(&mut self, splits: Vec<Split>) -> Result<()> {
        for split in &splits {
            self.splits.push_back(Stride::decode(split)?);
        }
        Ok(())
    }

    /// Cancel-safe: the only await is a timer.
    fn poll(&mut self) -> BoxFuture<'_, Result<Polled>> {
        Box::pin(async {
            loop {
                if let Some(batch) = self.next_batch(self.clock.now_us())? {
                    return Ok(Polled::Batch(batch));
                }
                if self.splits.is_empty() {
                    return Ok(Polled::NeedSplits);
                }
                tokio::time::sleep(TICK).await;
            }
        })
    }

    fn snapshot(&mut self) -> Result<Vec<Split>> {
        let end = self.end();
        self.splits.iter().filter(|s| s.row < end).map(|s| s.encode()).collect()
    }

    fn batch_split(&self) -> Option<&str> {
        self.current.as_ref().map(|(_, id)| id.as_str())
    }

    fn take_finished_splits(&mut self) -> Vec<String> {
        std::mem::take(&mut self.finished)
    }
}
