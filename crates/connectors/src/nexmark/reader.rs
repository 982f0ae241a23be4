//! Reads splits of the Nexmark stream, flat out or on schedule. Runs at the head of a task.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, SchemaRef};
use futures::future::BoxFuture;
use model::source::{Polled, SourceReader, Split};
use model::{Clock, Result};

use super::Table;
use super::columns::{Maker, Rounds};
use super::event::{BIDS, EventClock, ROUND};
use super::options::Options;
use super::splits::Position;

/// Rows per batch at most.
const BATCH_ROWS: u64 = 8192;
/// As [`BATCH_ROWS`] for whole events, whose rows have 25 columns: a batch that stays in the
/// core's cache is made faster and is nearer to the size that readers should return.
const EVENT_BATCH_ROWS: u64 = 2048;
/// Up to so many columns, fields of rows counted one by one, whole events go in full batches.
const FEW_COLUMNS: usize = 8;
/// How long the reader waits at most before it looks for due events again. At a
/// millisecond the wake-ups cost nothing and add half a millisecond of latency.
const TICK: Duration = Duration::from_millis(1);

/// Columns of `schema`, those inside of rows counted one by one.
fn columns(schema: &SchemaRef) -> usize {
    let width = |t: &DataType| match t {
        DataType::Struct(fields) => fields.len(),
        _ => 1,
    };
    schema.fields().iter().map(|f| width(f.data_type())).sum()
}

pub(super) struct NexmarkReader {
    options: Options,
    schema: SchemaRef,
    kinds: [bool; 3],
    clock: Arc<dyn Clock>,
    splits: VecDeque<(String, Position)>,
    /// Rounds per batch, so that a batch of the table stays within [`BATCH_ROWS`].
    rounds_per_batch: u64,
    /// Events passed, whether or not they became rows.
    events: u64,
    /// Ids of splits read to their end and not reported yet.
    finished: Vec<String>,
}

impl NexmarkReader {
    pub(super) fn new(
        options: Options,
        schema: SchemaRef,
        kinds: [bool; 3],
        clock: Arc<dyn Clock>,
    ) -> Self {
        let rounds_per_batch = match options.table {
            Table::Bid => BATCH_ROWS / BIDS,
            Table::Auction => BATCH_ROWS / 3,
            Table::Person => BATCH_ROWS,
            Table::All if !kinds[2] => BATCH_ROWS / 4,
            Table::All if columns(&schema) <= FEW_COLUMNS => BATCH_ROWS / ROUND,
            Table::All => EVENT_BATCH_ROWS / ROUND,
        };
        // Persons are rare: do not run through half a million events for one batch.
        let rounds_per_batch = rounds_per_batch.min(1024);
        Self {
            options,
            schema,
            kinds,
            clock,
            splits: VecDeque::new(),
            rounds_per_batch,
            events: 0,
            finished: Vec::new(),
        }
    }

    /// Rounds in the whole stream.
    fn last_round(&self) -> u64 {
        self.options.events.map_or(u64::MAX / ROUND / 2, |n| n.div_ceil(ROUND))
    }

    /// How many rounds of this split are due now (all that are left when flat out).
    fn due(&self, position: Position, now_us: i64) -> u64 {
        let left = self.last_round().saturating_sub(position.round).div_ceil(position.stride);
        let (Some(rate), Some(start)) = (self.options.events_per_second, position.started_us)
        else {
            return left;
        };
        let elapsed = u128::try_from(now_us.saturating_sub(start)).unwrap_or(0);
        // A round is due when its last event is: rows never come before their schedule.
        let due_events = (elapsed * u128::from(rate) / 1_000_000) as u64;
        let due_rounds = due_events / ROUND;
        left.min(due_rounds.saturating_sub(position.round).div_ceil(position.stride))
    }

    /// The next batch of the split at the front, if rows are due; the split moves to the
    /// back, so that all splits move through event time together.
    fn next_batch(&mut self, now_us: i64) -> Result<Option<arrow::array::RecordBatch>> {
        let last = self.last_round();
        let finished = &mut self.finished;
        self.splits.retain(|(id, p)| {
            let open = p.round < last;
            if !open {
                finished.push(id.clone());
            }
            open
        });
        for _ in 0..self.splits.len() {
            let Some((id, mut position)) = self.splits.pop_front() else { break };
            if self.options.events_per_second.is_some() && position.started_us.is_none() {
                position.started_us = Some(now_us);
            }
            let count = self.due(position, now_us).min(self.rounds_per_batch);
            if count == 0 {
                self.splits.push_back((id, position));
                continue;
            }
            let end = self.options.events.unwrap_or(u64::MAX);
            let rounds = Rounds { first: position.round, stride: position.stride, count, end };
            let maker = Maker {
                kinds: self.kinds,
                clock: EventClock { rate: self.options.event_time_rate },
                seed: self.options.seed,
                schedule: self
                    .options
                    .events_per_second
                    .zip(position.started_us)
                    .map(|(r, s)| (s, r)),
            };
            let batch = maker.batch(self.options.table, &self.schema, rounds)?;
            position.round += count * position.stride;
            let last_event = (rounds.first + (count - 1) * rounds.stride + 1) * ROUND;
            self.events += count * ROUND - last_event.saturating_sub(end).min(ROUND);
            self.splits.push_back((id, position));
            if batch.num_rows() > 0 {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }
}

impl SourceReader for NexmarkReader {
    fn add_splits(&mut self, splits: Vec<Split>) -> Result<()> {
        for split in splits {
            let position = Position::decode(&split)?;
            self.splits.push_back((split.id, position));
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
                let last = self.last_round();
                if self.splits.iter().all(|(_, p)| p.round >= last) {
                    return Ok(Polled::NeedSplits);
                }
                tokio::time::sleep(TICK).await;
            }
        })
    }

    fn snapshot(&mut self) -> Result<Vec<Split>> {
        let last = self.last_round();
        let open = self.splits.iter().filter(|(_, p)| p.round < last);
        open.map(|(id, position)| position.encode(id.clone())).collect()
    }

    /// The split that was read last has moved to the back.
    fn batch_split(&self) -> Option<&str> {
        self.splits.back().map(|(id, _)| id.as_str())
    }

    fn take_finished_splits(&mut self) -> Vec<String> {
        std::mem::take(&mut self.finished)
    }

    fn records_read(&self) -> Option<u64> {
        Some(self.events)
    }
}
