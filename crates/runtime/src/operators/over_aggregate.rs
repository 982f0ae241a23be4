//! Aggregates over the rows before each row, per key in order of time. Built by
//! `operators::build`.
//!
//! In event time rows wait in a log, whose namespaces are spans of a second, until the
//! watermark has passed them. Unbounded frames keep accumulators in state; bounded ones
//! keep their rows, and add them up anew with each batch. What is ordered by something else
//! than time, or takes changes, is in `updating.rs`.

mod frames;
mod history;
mod neighbours;
pub(super) mod steps;
pub mod updating;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::concat;
use arrow::datatypes::{Schema, SchemaRef};
use model::key_group::hash_columns;
use model::operator_schema::{column_index, over_aggregate_schema};
use model::operator_spec::{AggregateCall, OverAggregate, OverFunction, OverUnit};
use model::{Error, Result, Watermark};
use state::{StateStore, TableId, ValueType};

use super::accumulator::{AccumulatorOptions, Accumulators};
use super::encoded_rows::RowCodec;
use super::hash_join::OUTPUT_ROWS;
use super::key_columns::KeyColumns;
use super::slot_marks::SlotMarks;
use super::time_column::TimeColumn;
use super::ttl::{self, TimeToLive};
use super::waiting_rows::WaitingRows;
use crate::operator::{Operator, OperatorContext, Output};
use frames::Frames;
use history::{History, Reach};
use neighbours::Neighbours;
use steps::{Counters, Ranks, Steps};

/// See [`OverAggregate`].
pub struct OverAggregateOperator {
    spec: OverAggregate,
    output: SchemaRef,
    keys: KeyColumns,
    /// By event time; in processing time rows do not wait.
    waiting: Option<WaitingRows>,
    /// The columns that calls read, and only these.
    needed: Vec<usize>,
    arguments: SchemaRef,
    codec: RowCodec,
    accumulators: Accumulators,
    reach: Reach,
    value_types: Vec<ValueType>,
    /// The state column of the history.
    history: usize,
    ttl: Option<TimeToLive>,
    table: Option<TableId>,
    hashes: Vec<u64>,
    slots: Vec<u32>,
    marks: SlotMarks,
    late: u64,
}

impl OverAggregateOperator {
    /// A User error when spec and input do not fit.
    pub fn new(spec: &OverAggregate, input: &SchemaRef) -> Result<Self> {
        let output = over_aggregate_schema(spec, input)?;
        let needed = needed_columns(spec, input)?;
        let fields: Vec<_> = needed.iter().map(|c| Arc::clone(&input.fields()[*c])).collect();
        let arguments = Arc::new(Schema::new(fields));
        let calls: Vec<AggregateCall> = spec
            .calls
            .iter()
            .filter_map(|call| match &call.function {
                OverFunction::Aggregate(aggregate) => Some(aggregate.clone()),
                _ => None,
            })
            .collect();
        let bounded = spec.preceding.is_some();
        let options = AccumulatorOptions { rows: true, retract: bounded, share: false };
        let accumulators = Accumulators::new(&calls, &arguments, options)?;
        let lag = spec.calls.iter().filter_map(|call| match call.function {
            OverFunction::Lag { offset, .. } => Some(offset as usize),
            _ => None,
        });
        let reach =
            Reach { unit: spec.unit, preceding: spec.preceding, rows: lag.max().unwrap_or(0) };
        let mut value_types =
            if bounded { Vec::new() } else { accumulators.value_types().to_vec() };
        let history = value_types.len();
        value_types.push(ValueType::Bytes);
        value_types.extend([ValueType::I64; Counters::COUNT]);
        let ttl = TimeToLive::new(spec.ttl_ms, &mut value_types);
        let keys = KeyColumns::new(input, &spec.keys)?;
        let waiting = match &spec.time_column {
            Some(name) => {
                let time = (TimeColumn::new(input, name)?, "OVER");
                Some(WaitingRows::new("waiting", input, &keys.indices, time))
            }
            None => None,
        };
        Ok(Self {
            spec: spec.clone(),
            output,
            keys,
            waiting,
            needed,
            codec: RowCodec::new(arguments.fields())?,
            arguments,
            accumulators,
            reach,
            value_types,
            history,
            ttl,
            table: None,
            hashes: Vec::new(),
            slots: Vec::new(),
            marks: SlotMarks::default(),
            late: 0,
        })
    }

    /// Computes the calls for rows that are in order of time, and puts them out.
    fn compute(
        &mut self,
        batch: &RecordBatch,
        times: &[i64],
        (state, now_ms): (&mut StateStore, i64),
        out: &mut Output,
    ) -> Result<()> {
        hash_columns(batch, &self.keys.indices, &mut self.hashes)?;
        let keys = self.keys.arrays(batch);
        let table = self.table.ok_or_else(not_opened)?;
        let pane = state.table_mut(table).pane(0)?;
        if let Some(ttl) = &mut self.ttl {
            ttl.sweep(pane, now_ms)?;
        }
        pane.upsert(&self.hashes, &keys, None, &mut self.slots)?;
        if let Some(ttl) = &mut self.ttl {
            ttl.touch(pane, &self.slots, now_ms);
        }
        let peers = self.spec.unit == OverUnit::Range
            && (self.waiting.is_some() || self.spec.preceding.is_some());
        let steps = Steps::new(&self.slots, times, peers, &mut self.marks);
        let own: Vec<ArrayRef> = self.needed.iter().map(|c| Arc::clone(batch.column(*c))).collect();
        let (mut history, old) = History::take(self.history, &steps.slots, &self.codec, pane)?;
        let combined = self.combined(&old, &own)?;
        let ranks = Counters(self.history + 1).count(pane, &self.slots, times);
        let arguments = self.accumulators.arguments(&combined, None)?;
        let (unit, preceding) = (self.spec.unit, self.spec.preceding);
        let frames = Frames { accumulators: &self.accumulators, unit, preceding };
        let aggregates = if preceding.is_some() {
            let mut columns = self.accumulators.columns(steps.slots.len());
            frames.sliding(&mut columns, &arguments, &steps, (&mut history, times))?
        } else {
            add_to_history(&mut history, &steps, times);
            let columns = &mut pane.columns()[..self.history];
            frames.growing(columns, &arguments, &steps, history.old)?
        };
        let lags = self.lags(&combined, &history, &steps)?;
        let new = self.codec.encode(&RecordBatch::try_new(Arc::clone(&self.arguments), own)?)?;
        history.write(self.history, &steps.slots, &new, self.reach, pane)?;
        self.emit(batch, aggregates, lags, &ranks, out)
    }

    /// Old rows, then the rows of the batch.
    fn combined(&self, old: &[ArrayRef], own: &[ArrayRef]) -> Result<RecordBatch> {
        let mut columns = Vec::with_capacity(own.len());
        for (old, own) in old.iter().zip(own) {
            columns.push(if old.is_empty() {
                Arc::clone(own)
            } else {
                concat(&[old.as_ref(), own.as_ref()])?
            });
        }
        Ok(RecordBatch::try_new(Arc::clone(&self.arguments), columns)?)
    }

    /// One array per LAG call, in row order.
    fn lags(
        &self,
        combined: &RecordBatch,
        history: &History,
        steps: &Steps,
    ) -> Result<Vec<ArrayRef>> {
        let mut arrays = Vec::new();
        for call in &self.spec.calls {
            let OverFunction::Lag { column, offset, default } = &call.function else { continue };
            let mut before: Vec<Option<u32>> = vec![None; steps.keys.len()];
            for rows in &history.rows {
                for (at, (number, _)) in rows.iter().enumerate() {
                    if let Some(row) = number.checked_sub(history.old) {
                        let lag = at.checked_sub(*offset as usize);
                        before[row as usize] = lag.map(|at| rows[at].0);
                    }
                }
            }
            let rows = Neighbours { rows: UInt32Array::from(before), first: history.old as usize };
            arrays.push(rows.values(column, default.as_deref(), combined)?);
        }
        Ok(arrays)
    }

    fn emit(
        &self,
        batch: &RecordBatch,
        aggregates: Vec<ArrayRef>,
        lags: Vec<ArrayRef>,
        ranks: &Ranks,
        out: &mut Output,
    ) -> Result<()> {
        let (mut aggregates, mut lags) = (aggregates.into_iter(), lags.into_iter());
        let mut columns = batch.columns().to_vec();
        let long = |values: &[i64]| -> ArrayRef { Arc::new(Int64Array::from(values.to_vec())) };
        for call in &self.spec.calls {
            match &call.function {
                OverFunction::Aggregate(_) => columns.extend(aggregates.next()),
                OverFunction::Lag { .. } => columns.extend(lags.next()),
                OverFunction::RowNumber => columns.push(long(&ranks.row_number)),
                OverFunction::Rank => columns.push(long(&ranks.rank)),
                OverFunction::DenseRank => columns.push(long(&ranks.dense_rank)),
                other => {
                    let message = format!("{other:?} over rows that are put out once");
                    return Err(Error::internal(message));
                }
            }
        }
        let rows = RecordBatch::try_new(Arc::clone(&self.output), columns)?;
        for from in (0..rows.num_rows()).step_by(OUTPUT_ROWS) {
            out.emit(rows.slice(from, OUTPUT_ROWS.min(rows.num_rows() - from)));
        }
        Ok(())
    }
}

fn not_opened() -> Error {
    Error::internal("an overAggregate was not opened")
}

/// All rows of the batch belong to the history of their keys, for LAG.
fn add_to_history(history: &mut History, steps: &Steps, times: &[i64]) {
    for (row, key) in steps.keys.iter().enumerate() {
        history.rows[*key as usize].push((history.old + row as u32, times[row]));
    }
}

/// Positions of the columns that calls read; at least one, to have rows at all.
fn needed_columns(spec: &OverAggregate, input: &SchemaRef) -> Result<Vec<usize>> {
    let mut needed = Vec::new();
    for call in &spec.calls {
        let names: Vec<&String> = match &call.function {
            OverFunction::Aggregate(a) => {
                a.column.iter().chain(&a.more_columns).chain(&a.filter).collect()
            }
            OverFunction::Lag { column, default, .. }
            | OverFunction::Lead { column, default, .. } => {
                [column].into_iter().chain(default).collect()
            }
            _ => Vec::new(),
        };
        for name in names {
            needed.push(column_index(input, name)?);
        }
    }
    if needed.is_empty() {
        needed.push(0);
    }
    needed.sort_unstable();
    needed.dedup();
    Ok(needed)
}

impl Operator for OverAggregateOperator {
    fn open(&mut self, ctx: &mut OperatorContext) -> Result<()> {
        self.table = Some(ctx.state.table("frames", &self.keys.fields, &self.value_types)?);
        self.waiting.as_mut().map_or(Ok(()), |waiting| waiting.open(&mut ctx.state))
    }

    fn process(
        &mut self,
        _port: usize,
        batch: RecordBatch,
        ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        let now_ms = ctx.clock.now_ms();
        let Some(waiting) = &mut self.waiting else {
            let times = vec![now_ms; batch.num_rows()];
            return self.compute(&batch, &times, (&mut ctx.state, now_ms), out);
        };
        self.late += waiting.add(&batch, ctx.watermark, &mut ctx.state)?;
        Ok(())
    }

    fn on_watermark(
        &mut self,
        watermark: Watermark,
        ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        let now_ms = ctx.clock.now_ms();
        let Some(waiting) = &self.waiting else { return Ok(()) };
        for span in waiting.spans(watermark, &mut ctx.state)? {
            let Some(waiting) = &mut self.waiting else { break };
            if let Some((rows, times)) = waiting.take_sorted(span, watermark, &mut ctx.state)? {
                self.compute(&rows, &times, (&mut ctx.state, now_ms), out)?;
            }
        }
        Ok(())
    }

    fn late_records(&self) -> u64 {
        self.late
    }

    fn next_wakeup_ms(&self) -> Option<i64> {
        self.ttl.as_ref().and_then(TimeToLive::next_sweep_ms)
    }

    fn on_wakeup(
        &mut self,
        now_ms: i64,
        ctx: &mut OperatorContext,
        _out: &mut Output,
    ) -> Result<()> {
        ttl::sweep(&mut self.ttl, self.table, &mut ctx.state, now_ms)
    }
}

#[cfg(test)]
mod tests;
