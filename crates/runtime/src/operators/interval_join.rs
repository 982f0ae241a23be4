//! Joins rows with equal keys whose event times lie within an interval of each other.
//! Built by `operators::build`; keys are matched by `hash_join`.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use model::operator_schema::{interval_join_schema, key_indices};
use model::operator_spec::{IntervalJoin, JoinType};
use model::{Error, Result, Watermark, key_group};

use super::hash_join::{
    Cursor, JoinedRows, Matches, OUTPUT_ROWS, Probe, RowFlags, gather_batch, null_columns,
};
use super::interval_buckets::{Arrivals, Buckets, BucketsOptions};
use super::row_groups::select_rows;
use super::time_column::TimeColumn;
use crate::operator::{Operator, OperatorContext, Output};

/// Buckets narrower than this cost more than the rows they let go of early.
const MIN_BUCKET_MS: i64 = 1_000;

/// See [`IntervalJoin`].
///
/// Each side's rows wait in buckets of event time. A pair comes out as soon as its second
/// row is there; a row that stayed alone comes out (outer joins) as soon as the watermark
/// says that no partner can come.
pub struct IntervalJoinOperator {
    sides: [Side; 2],
    output: SchemaRef,
    delay_ms: i64,
    late: u64,
}

struct Side {
    input: SchemaRef,
    keys: Vec<usize>,
    time: TimeColumn,
    /// Partners of a row at `t` lie in `t + from ..= t + to`.
    from_ms: i64,
    to_ms: i64,
    keeps_unmatched: bool,
    buckets: Buckets,
}

impl IntervalJoinOperator {
    /// A User error when spec and inputs do not fit.
    pub fn new(spec: &IntervalJoin, left: &SchemaRef, right: &SchemaRef) -> Result<Self> {
        let output = interval_join_schema(spec, left, right)?;
        let (lower, upper) = (spec.lower_ms, spec.upper_ms);
        let width_ms = (upper.saturating_sub(lower) / 4).max(MIN_BUCKET_MS);
        let side = |name, input: &SchemaRef, keys: &[String], time: &str, from_ms, to_ms, keep| {
            let keys = key_indices(input, keys)?;
            let options = BucketsOptions { name, width_ms, expiry_ms: to_ms, track_matches: keep };
            Ok::<_, Error>(Side {
                input: Arc::clone(input),
                time: TimeColumn::new(input, time)?,
                from_ms,
                to_ms,
                keeps_unmatched: keep,
                buckets: Buckets::new(options, input, &keys),
                keys,
            })
        };
        let keep_left = matches!(spec.join_type, JoinType::Left | JoinType::Full);
        let keep_right = matches!(spec.join_type, JoinType::Right | JoinType::Full);
        let (from, to) = (upper.saturating_neg(), lower.saturating_neg());
        Ok(Self {
            sides: [
                side("left", left, &spec.left_keys, &spec.left_time, lower, upper, keep_left)?,
                side("right", right, &spec.right_keys, &spec.right_time, from, to, keep_right)?,
            ],
            output,
            // A pair or an unmatched row is as old as the time for which a row waits.
            delay_ms: 0.max(upper).max(to),
            late: 0,
        })
    }

    /// Puts out `stored` rows of side `side` next to rows of the other side.
    fn push(
        side: usize,
        own: Vec<ArrayRef>,
        other: Vec<ArrayRef>,
        joined: &mut JoinedRows<'_>,
        out: &mut Output,
    ) -> Result<()> {
        let (left, right) = if side == 0 { (own, other) } else { (other, own) };
        joined.push(left, right, Vec::new(), out)
    }

    /// Emits every pair of a row in `batch` (from side `port`) and a waiting row.
    /// Answers which rows of `batch` found a partner.
    fn match_waiting(
        &mut self,
        port: usize,
        batch: &RecordBatch,
        hashes: &[u64],
        times: &[i64],
        out: &mut Output,
    ) -> Result<RowFlags> {
        let [left, right] = &mut self.sides;
        let (own, other) = if port == 0 { (left, right) } else { (right, left) };
        let mut matched = RowFlags::none_of(batch.num_rows());
        let (Some(low), Some(high)) = (times.iter().min(), times.iter().max()) else {
            return Ok(matched);
        };
        let (from, to) = (own.from_ms, own.to_ms);
        let range = low.saturating_add(from)..=high.saturating_add(to);
        let mut joined = JoinedRows::new(&self.output);
        let mut matches = Matches::default();
        let probe = Probe::new(batch, &own.keys, hashes);
        for bucket in other.buckets.overlapping(range) {
            let mut cursor = Cursor::default();
            loop {
                let waiting_times = bucket.times();
                let within = |row: u32, probe_row: u32| {
                    let (time, waiting) = (times[probe_row as usize], waiting_times[row as usize]);
                    time.saturating_add(from) <= waiting && waiting <= time.saturating_add(to)
                };
                if !bucket.rows().probe(&probe, &mut cursor, within, &mut matches)? {
                    break;
                }
                if matches.is_empty() {
                    continue;
                }
                matched.set(&matches.probe);
                let waiting = bucket.rows().gather(&matches.stored)?;
                bucket.mark_matched(&matches.stored);
                let arrived = gather_batch(batch, &matches.probe)?;
                Self::push(port, arrived, waiting, &mut joined, out)?;
            }
        }
        joined.finish(out)?;
        Ok(matched)
    }

    /// Emits rows of side `port` for which no partner came.
    fn emit_unmatched(
        output: &SchemaRef,
        port: usize,
        other: &SchemaRef,
        unmatched: impl Iterator<Item = Result<Vec<ArrayRef>>>,
        out: &mut Output,
    ) -> Result<()> {
        let mut joined = JoinedRows::new(output);
        for own in unmatched {
            let own = own?;
            let rows = own.first().map_or(0, |column| column.len());
            Self::push(port, own, null_columns(other, rows), &mut joined, out)?;
        }
        joined.finish(out)
    }
}

impl Operator for IntervalJoinOperator {
    fn open(&mut self, ctx: &mut OperatorContext) -> Result<()> {
        for side in &mut self.sides {
            side.buckets.open(&mut ctx.state, &side.time, ctx.watermark)?;
        }
        Ok(())
    }

    fn process(
        &mut self,
        port: usize,
        batch: RecordBatch,
        ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        let Some(side) = self.sides.get(port) else {
            return Err(Error::internal(format!("an interval join has no input {port}")));
        };
        let watermark = ctx.watermark.0;
        let mut hashes = Vec::new();
        key_group::hash_columns(&batch, &side.keys, &mut hashes)?;
        let on_time: Vec<u32> = {
            let times = side.time.millis(&batch)?;
            (0..batch.num_rows() as u32).filter(|row| times[*row as usize] > watermark).collect()
        };
        self.late += (batch.num_rows() - on_time.len()) as u64;
        if on_time.is_empty() {
            return Ok(());
        }
        let (batch, hashes) = select_rows(&batch, &hashes, &on_time)?;
        let times = side.time.millis(&batch)?.into_owned();
        let matched = self.match_waiting(port, &batch, &hashes, &times, out)?;

        let [left, right] = &mut self.sides;
        let (own, other) = if port == 0 { (left, right) } else { (right, left) };
        if own.keeps_unmatched {
            // With an interval that lies in the past nothing is to wait for.
            let gone = |row: &u32| times[*row as usize].saturating_add(own.to_ms) <= watermark;
            let rows: Vec<u32> = matched.unset().into_iter().filter(gone).collect();
            let unmatched = rows.chunks(OUTPUT_ROWS).map(|rows| gather_batch(&batch, rows));
            Self::emit_unmatched(&self.output, port, &other.input, unmatched, out)?;
        }
        let arrivals = Arrivals { batch, hashes, times, matched };
        own.buckets.insert(&mut ctx.state, &arrivals, watermark)
    }

    fn on_watermark(
        &mut self,
        watermark: Watermark,
        ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        for port in [0, 1] {
            let [left, right] = &mut self.sides;
            let (own, other) = if port == 0 { (left, right) } else { (right, left) };
            let unmatched = own.buckets.expire(watermark.0);
            Self::emit_unmatched(&self.output, port, &other.input, unmatched.into_iter(), out)?;
            own.buckets.drop_expired(&mut ctx.state, watermark.0)?;
        }
        Ok(())
    }

    fn flush(&mut self, ctx: &mut OperatorContext, _out: &mut Output) -> Result<()> {
        for side in &mut self.sides {
            side.buckets.write_matches(&mut ctx.state)?;
        }
        Ok(())
    }

    fn watermark_delay_ms(&self) -> i64 {
        self.delay_ms
    }

    fn late_records(&self) -> u64 {
        self.late
    }
}

#[cfg(test)]
mod tests;
