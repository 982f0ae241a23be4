//! Rows that wait in state until the watermark passes their event time. Used by the operators
//! that take rows in its order: over aggregates, temporal joins, patterns and sorting.
//!
//! They wait in a log whose namespaces are spans of a second, of which only the one that the
//! watermark is in has to be read before it is over.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, filter_record_batch, not, take_record_batch};
use arrow::datatypes::SchemaRef;
use model::key_group::hash_columns;
use model::{Error, Result, Watermark};
use state::{LogId, StateStore};

use super::row_groups::{group_rows, select_rows};
use super::time_column::TimeColumn;
use super::window_time::time_range;

/// Length of a namespace of the log.
const SPAN_MS: i64 = 1000;

/// See above.
pub(crate) struct WaitingRows {
    /// The log's name in checkpoints.
    name: &'static str,
    input: SchemaRef,
    /// What rows are hashed by.
    keys: Vec<usize>,
    time: TimeColumn,
    /// What the rows' time is called when a value is none.
    time_name: String,
    log: Option<LogId>,
    hashes: Vec<u64>,
}

impl WaitingRows {
    /// Of rows of `input`, which `keys` distribute; `time_name` stands in errors.
    pub(crate) fn new(
        name: &'static str,
        input: &SchemaRef,
        keys: &[usize],
        (time, time_name): (TimeColumn, &str),
    ) -> Self {
        let (input, keys, time_name) = (Arc::clone(input), keys.to_vec(), time_name.to_owned());
        Self { name, input, keys, time, time_name, log: None, hashes: Vec::new() }
    }

    pub(crate) fn open(&mut self, state: &mut StateStore) -> Result<()> {
        self.log = Some(state.log(self.name, Arc::clone(&self.input), &self.keys)?);
        Ok(())
    }

    /// When the rows are.
    pub(crate) fn times<'r>(&self, rows: &'r RecordBatch) -> Result<Cow<'r, [i64]>> {
        self.time.millis(rows)
    }

    fn log(&self) -> Result<LogId> {
        self.log.ok_or_else(|| Error::internal(format!("the log {} was not opened", self.name)))
    }

    /// Adds the rows that are later than `after`, and answers how many are not. A User error
    /// when a time is none.
    pub(crate) fn add(
        &mut self,
        batch: &RecordBatch,
        after: Watermark,
        state: &mut StateStore,
    ) -> Result<u64> {
        let times = self.time.millis(batch)?;
        time_range(&times, &self.time_name)?;
        hash_columns(batch, &self.keys, &mut self.hashes)?;
        let log = state.log_mut(self.log()?);
        let span = |time: &i64| (*time > after.0).then(|| time.div_euclid(SPAN_MS));
        let mut waiting = 0;
        for (span, rows) in group_rows(times.iter().map(span)) {
            waiting += rows.len();
            let (part, hashes) = select_rows(batch, &self.hashes, &rows)?;
            log.append(span, part, hashes)?;
        }
        Ok((batch.num_rows() - waiting) as u64)
    }

    /// Spans that may have rows up to `watermark`, ascending, for [`Self::take`].
    pub(crate) fn spans(&self, watermark: Watermark, state: &mut StateStore) -> Result<Vec<i64>> {
        let spans = state.log_mut(self.log()?).namespaces().into_iter();
        Ok(spans.take_while(|span| span.saturating_mul(SPAN_MS) <= watermark.0).collect())
    }

    /// Takes the rows of `span` up to `watermark` out, in order of arrival.
    pub(crate) fn take(
        &mut self,
        span: i64,
        watermark: Watermark,
        state: &mut StateStore,
    ) -> Result<Option<RecordBatch>> {
        let log = state.log_mut(self.log()?);
        let batches = log.batches(span)?;
        let rows = concat_batches(&self.input, batches.iter().map(|(batch, _)| batch))?;
        let due: BooleanArray =
            self.time.millis(&rows)?.iter().map(|time| Some(*time <= watermark.0)).collect();
        if due.true_count() == 0 {
            return Ok(None);
        }
        log.remove_namespace(span)?;
        if due.true_count() < rows.num_rows() {
            let rest = filter_record_batch(&rows, &not(&due)?)?;
            hash_columns(&rest, &self.keys, &mut self.hashes)?;
            log.append(span, rest, self.hashes.clone())?;
        }
        Ok(Some(filter_record_batch(&rows, &due)?))
    }

    /// As [`Self::take`], in order of time, then of arrival, with the times.
    pub(crate) fn take_sorted(
        &mut self,
        span: i64,
        watermark: Watermark,
        state: &mut StateStore,
    ) -> Result<Option<(RecordBatch, Vec<i64>)>> {
        let Some(due) = self.take(span, watermark, state)? else { return Ok(None) };
        let times = self.time.millis(&due)?;
        let mut order: Vec<u32> = (0..due.num_rows() as u32).collect();
        order.sort_by_key(|row| times[*row as usize]);
        let times = order.iter().map(|row| times[*row as usize]).collect();
        let sorted = take_record_batch(&due, &UInt32Array::from(order))?;
        Ok(Some((sorted, times)))
    }
}
