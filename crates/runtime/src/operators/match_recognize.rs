//! MATCH_RECOGNIZE: matches of a pattern among the rows of each key, in order of time. Built by
//! `operators::build`. How it works: `docs/design/0005-match-recognize.md`.
//!
//! In event time rows wait until the watermark has passed them (`waiting_rows`). Then `batch` works them off against the partitions in state.
//! With WITHIN, a second table has the keys whose oldest match runs out, by span of time.

mod batch;
mod nfa;
mod partitions;
mod values;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{
    SortColumn, SortOptions, concat_batches, lexsort_to_indices, take, take_record_batch,
};
use arrow::datatypes::{Schema, SchemaRef};
use model::expression::{Expression, Expressions};
use model::key_group::hash_columns;
use model::operator_schema::{column_index, match_condition_schema, match_recognize_schema};
use model::operator_spec::MatchRecognize;
use model::{Error, Result, Watermark};
use state::{NO_SLOT, StateStore, TableId};

use super::encoded_rows::RowCodec;
use super::hash_join::OUTPUT_ROWS;
use super::key_columns::KeyColumns;
use super::over_aggregate::steps::Steps;
use super::row_groups::group_rows;
use super::slot_marks::SlotMarks;
use super::time_column::TimeColumn;
use super::waiting_rows::WaitingRows;
use crate::operator::{Operator, OperatorContext, Output};
use batch::{Found, Work};
use nfa::Program;
use partitions::{Partition, PartitionCodec, REGISTERED, VALUE_TYPES};
use values::{Subject, Values, condition_batch};

/// Length of a namespace of the time-outs.
const SPAN_MS: i64 = 1000;

/// See [`MatchRecognize`].
pub struct MatchRecognizeOperator {
    input: SchemaRef,
    output: SchemaRef,
    keys: KeyColumns,
    /// `None` in processing time: rows do not wait.
    waiting: Option<WaitingRows>,
    /// Column and options, for rows of one time.
    order: Vec<(usize, SortOptions)>,
    /// The columns that conditions and measures read, and only these.
    kept: Vec<usize>,
    kept_schema: SchemaRef,
    program: Program,
    conditions: Vec<Condition>,
    within_ms: Option<i64>,
    measures: Values,
    codec: PartitionCodec,
    partitions: Option<TableId>,
    timeouts: Option<TableId>,
    /// In processing time: when the next match may run out.
    next_timeout: Option<i64>,
    hashes: Vec<u64>,
    slots: Vec<u32>,
    marks: SlotMarks,
    late: u64,
}

/// When a row may be of a variable.
enum Condition {
    Always,
    /// Known from the row itself, for a whole batch at once.
    OfRow(Predicate),
    OfMatch(Predicate),
}

struct Predicate {
    values: Values,
    schema: SchemaRef,
    expression: Box<dyn Expression>,
}

impl Predicate {
    fn evaluate(&self, rows: &RecordBatch, subjects: &[Subject<'_>]) -> Result<BooleanArray> {
        self.decide(self.values.compute(rows, subjects)?, subjects.len())
    }

    /// Of a condition that reads nothing but the row itself: one answer per row.
    fn of_rows(&self, rows: &RecordBatch) -> Result<BooleanArray> {
        self.decide(self.values.of_rows(rows), rows.num_rows())
    }

    fn decide(&self, columns: Vec<ArrayRef>, count: usize) -> Result<BooleanArray> {
        let batch = condition_batch(&self.schema, columns, count)?;
        let truth = self.expression.evaluate(&batch)?;
        let truth = truth.as_any().downcast_ref::<BooleanArray>();
        truth.cloned().ok_or_else(|| Error::internal("a condition of a pattern is no BOOLEAN"))
    }
}

impl MatchRecognizeOperator {
    /// A User error when spec and input do not fit.
    pub fn new(
        spec: &MatchRecognize,
        input: &SchemaRef,
        expressions: &dyn Expressions,
    ) -> Result<Self> {
        let output = match_recognize_schema(spec, input, expressions)?;
        let kept = kept_columns(spec, input)?;
        let fields: Vec<_> = kept.iter().map(|c| Arc::clone(&input.fields()[*c])).collect();
        let kept_schema = Arc::new(Schema::new(fields));
        let pattern: Vec<&str> = spec.pattern.iter().map(|v| v.name.as_str()).collect();
        let mut conditions = Vec::with_capacity(pattern.len());
        for variable in &spec.pattern {
            let Some(condition) = &variable.condition else {
                conditions.push(Condition::Always);
                continue;
            };
            let schema = match_condition_schema(condition, input)?;
            let expression = expressions.compile(&condition.predicate, &schema)?;
            let values = Values::new(&condition.values, &pattern, &kept_schema)?;
            let predicate = Predicate { values, schema, expression };
            conditions.push(match condition.reads_row_only(&variable.name) {
                true => Condition::OfRow(predicate),
                false => Condition::OfMatch(predicate),
            });
        }
        let mut order = Vec::new();
        for by in &spec.order_by {
            // NULL sorts as the smallest value, as in Flink.
            let options = SortOptions { descending: by.descending, nulls_first: !by.descending };
            order.push((column_index(input, &by.column)?, options));
        }
        let codec = RowCodec::new(kept_schema.fields())?;
        let fingerprint = fingerprint(spec, &kept_schema);
        let keys = KeyColumns::new(input, &spec.keys)?;
        let waiting = match &spec.time_column {
            Some(name) => {
                let time = (TimeColumn::new(input, name)?, "MATCH_RECOGNIZE");
                Some(WaitingRows::new("waiting", input, &keys.indices, time))
            }
            None => None,
        };
        Ok(Self {
            input: Arc::clone(input),
            output,
            keys,
            waiting,
            order,
            measures: Values::new(&spec.measures, &pattern, &kept_schema)?,
            kept,
            kept_schema,
            program: Program::new(spec)?,
            conditions,
            within_ms: spec.within_ms,
            codec: PartitionCodec::new(codec, pattern.len(), fingerprint),
            partitions: None,
            timeouts: None,
            next_timeout: None,
            hashes: Vec::new(),
            slots: Vec::new(),
            marks: SlotMarks::default(),
            late: 0,
        })
    }

    /// Works off rows that are in order of time.
    fn compute(
        &mut self,
        batch: &RecordBatch,
        times: &[i64],
        state: &mut StateStore,
        out: &mut Output,
    ) -> Result<()> {
        hash_columns(batch, &self.keys.indices, &mut self.hashes)?;
        let keys = self.keys.arrays(batch);
        let pane = state.table_mut(self.partitions.ok_or_else(not_opened)?).pane(0)?;
        pane.upsert(&self.hashes, &keys, None, &mut self.slots)?;
        let steps = Steps::new(&self.slots, times, false, &mut self.marks);
        let own: Vec<ArrayRef> = self.kept.iter().map(|c| Arc::clone(batch.column(*c))).collect();
        let own = RecordBatch::try_new(Arc::clone(&self.kept_schema), own)?;
        let (partitions, old) = self.codec.take(pane, &steps.slots)?;
        let partition_keys = pane.key_arrays(&steps.slots)?;
        let old = RecordBatch::try_new(Arc::clone(&self.kept_schema), old)?;
        let rows = concat_batches(&self.kept_schema, [&old, &own])?;
        let mut work = Work {
            program: &self.program,
            conditions: &self.conditions,
            within_ms: self.within_ms,
            rows: &rows,
            old: old.num_rows() as u32,
            partitions,
            found: Found::new(self.program.variables()),
        };
        work.follow(&steps, times)?;
        let Work { mut partitions, found, .. } = work;
        self.emit(&rows, &partitions, &found, &partition_keys, out)?;
        let new = self.codec.codec().encode(&own)?;
        self.write(state, &mut partitions, Some(&new), old.num_rows() as u32)
    }

    /// Puts out the measures of what was found.
    fn emit(
        &self,
        rows: &RecordBatch,
        partitions: &[Partition],
        found: &Found,
        keys: &[ArrayRef],
        out: &mut Output,
    ) -> Result<()> {
        let order = found.order();
        for part in order.chunks(OUTPUT_ROWS) {
            let subject = |index: &usize| Subject {
                rows: &partitions[found.partitions[*index] as usize].rows,
                found: found.matches.get(*index),
                taking: None,
            };
            let subjects: Vec<Subject<'_>> = part.iter().map(subject).collect();
            let owners: UInt32Array = part.iter().map(|index| found.partitions[*index]).collect();
            let mut columns = Vec::with_capacity(self.output.fields().len());
            for key in keys {
                columns.push(take(key, &owners, None)?);
            }
            columns.extend(self.measures.compute(rows, &subjects)?);
            out.emit(RecordBatch::try_new(Arc::clone(&self.output), columns)?);
        }
        Ok(())
    }

    /// Writes partitions back, and registers when their oldest match runs out.
    fn write(
        &mut self,
        state: &mut StateStore,
        partitions: &mut [Partition],
        new: Option<&arrow::row::Rows>,
        old: u32,
    ) -> Result<()> {
        let id = self.partitions.ok_or_else(not_opened)?;
        let mut timed: Vec<(i64, Vec<u32>)> = Vec::new();
        let Some((within, timeouts)) = self.within_ms.zip(self.timeouts) else {
            return self.codec.write(state.table_mut(id).pane(0)?, partitions, (new, old));
        };
        let (table, timers) = state.tables_mut2(id, timeouts);
        let pane = table.pane(0)?;
        let due = |partition: &Partition| {
            let oldest = partition.candidates.open.first()?;
            let registered = pane_registered(pane, partition.slot);
            let start = partition.rows[oldest.start() as usize].1;
            (!registered).then(|| start.saturating_add(within).div_euclid(SPAN_MS))
        };
        let spans: Vec<Option<i64>> = partitions.iter().map(due).collect();
        for (span, indices) in group_rows(spans.into_iter()) {
            timed.push((span, indices.iter().map(|i| partitions[*i as usize].slot).collect()));
        }
        for (span, slots) in &timed {
            let keys = pane.key_arrays(slots)?;
            let hashes: Vec<u64> = slots.iter().map(|slot| pane.hash(*slot)).collect();
            timers.pane(*span)?.upsert(&hashes, &keys, None, &mut self.slots)?;
            let registered = pane.i64(REGISTERED);
            slots.iter().for_each(|slot| registered[*slot as usize] = 1);
        }
        self.codec.write(pane, partitions, (new, old))
    }

    /// Drops the matches that have run out by `now`, and puts out what waited for them.
    fn time_out(&mut self, now: i64, state: &mut StateStore, out: &mut Output) -> Result<()> {
        let (Some(id), Some(timeouts)) = (self.partitions, self.timeouts) else { return Ok(()) };
        for span in state.table_mut(timeouts).namespaces() {
            if span.saturating_mul(SPAN_MS) > now {
                break;
            }
            let (table, timers) = state.tables_mut2(id, timeouts);
            let Some(timed) = timers.take_namespace(span)? else { continue };
            let all = timed.live_slots();
            let hashes: Vec<u64> = all.iter().map(|slot| timed.hash(*slot)).collect();
            let pane = table.pane(0)?;
            pane.find(&hashes, &timed.key_arrays(&all)?, None, &mut self.slots)?;
            self.slots.retain(|slot| *slot != NO_SLOT);
            let registered = pane.i64(REGISTERED);
            self.slots.iter().for_each(|slot| registered[*slot as usize] = 0);
            let (partitions, columns) = self.codec.take(pane, &self.slots)?;
            let keys = pane.key_arrays(&self.slots)?;
            let rows = RecordBatch::try_new(Arc::clone(&self.kept_schema), columns)?;
            let mut work = Work {
                program: &self.program,
                conditions: &self.conditions,
                within_ms: self.within_ms,
                rows: &rows,
                old: rows.num_rows() as u32,
                partitions,
                found: Found::new(self.program.variables()),
            };
            work.time_out(now)?;
            let Work { mut partitions, found, .. } = work;
            self.emit(&rows, &partitions, &found, &keys, out)?;
            self.write(state, &mut partitions, None, rows.num_rows() as u32)?;
        }
        Ok(())
    }

    /// In processing time: when to look for time-outs again.
    fn plan_wakeup(&mut self, state: &mut StateStore) {
        let Some(timeouts) = self.timeouts.filter(|_| self.waiting.is_none()) else { return };
        let first = state.table_mut(timeouts).first_namespace();
        self.next_timeout = first.map(|span| span.saturating_add(1).saturating_mul(SPAN_MS));
    }

    /// Rows in order of time, of the columns after it, and of arrival.
    fn sorted(&self, rows: &RecordBatch, times: &[i64]) -> Result<RecordBatch> {
        let arrival = UInt32Array::from_iter_values(0..rows.num_rows() as u32);
        let by = |values: ArrayRef, options: Option<SortOptions>| SortColumn { values, options };
        let mut columns = vec![by(Arc::new(Int64Array::from(times.to_vec())), None)];
        let order = self.order.iter();
        columns.extend(order.map(|(column, o)| by(Arc::clone(rows.column(*column)), Some(*o))));
        columns.push(by(Arc::new(arrival), None));
        Ok(take_record_batch(rows, &lexsort_to_indices(&columns, None)?)?)
    }
}

fn pane_registered(pane: &mut state::Pane, slot: u32) -> bool {
    pane.i64(REGISTERED)[slot as usize] != 0
}

fn not_opened() -> Error {
    Error::internal("a matchRecognize was not opened")
}

/// Positions of the columns that values read; at least one, to have rows at all.
fn kept_columns(spec: &MatchRecognize, input: &SchemaRef) -> Result<Vec<usize>> {
    let conditions = spec.pattern.iter().filter_map(|v| v.condition.as_ref());
    let values = spec.measures.iter().chain(conditions.flat_map(|c| &c.values));
    let mut kept = Vec::new();
    for name in values.flat_map(|value| value.columns()) {
        kept.push(column_index(input, name)?);
    }
    if kept.is_empty() {
        kept.push(0);
    }
    kept.sort_unstable();
    kept.dedup();
    Ok(kept)
}

/// Of what state depends on: the columns that are kept and the variables with their
/// quantifiers (FNV-1a).
fn fingerprint(spec: &MatchRecognize, kept: &Schema) -> u32 {
    let mut text = String::new();
    for field in kept.fields() {
        text.push_str(&format!("{} {};", field.name(), field.data_type()));
    }
    for v in &spec.pattern {
        text.push_str(&format!("{} {} {:?} {};", v.name, v.min, v.max, v.reluctant));
    }
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

impl Operator for MatchRecognizeOperator {
    fn open(&mut self, ctx: &mut OperatorContext) -> Result<()> {
        let fields = &self.keys.fields;
        self.partitions = Some(ctx.state.table("matches", fields, &VALUE_TYPES)?);
        if self.within_ms.is_some() {
            self.timeouts = Some(ctx.state.table("timeouts", fields, &[])?);
        }
        if let Some(waiting) = &mut self.waiting {
            waiting.open(&mut ctx.state)?;
        }
        self.plan_wakeup(&mut ctx.state);
        Ok(())
    }

    fn process(
        &mut self,
        _port: usize,
        batch: RecordBatch,
        ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        let Some(waiting) = &mut self.waiting else {
            let now = ctx.clock.now_ms();
            self.time_out(now, &mut ctx.state, out)?;
            let times = vec![now; batch.num_rows()];
            let batch = match self.order.is_empty() {
                true => batch,
                false => self.sorted(&batch, &times)?,
            };
            self.compute(&batch, &times, &mut ctx.state, out)?;
            self.plan_wakeup(&mut ctx.state);
            return Ok(());
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
        let Some(waiting) = &self.waiting else { return Ok(()) };
        let mut parts: Vec<RecordBatch> = Vec::new();
        let mut spans = waiting.spans(watermark, &mut ctx.state)?.into_iter().peekable();
        while let Some(span) = spans.next() {
            let Some(waiting) = &mut self.waiting else { break };
            parts.extend(waiting.take(span, watermark, &mut ctx.state)?);
            let rows: usize = parts.iter().map(RecordBatch::num_rows).sum();
            if rows == 0 || (spans.peek().is_some() && rows < OUTPUT_ROWS) {
                continue;
            }
            let due = concat_batches(&self.input, &std::mem::take(&mut parts))?;
            let Some(waiting) = &self.waiting else { break };
            let sorted = self.sorted(&due, &waiting.times(&due)?)?;
            let times = waiting.times(&sorted)?.into_owned();
            self.compute(&sorted, &times, &mut ctx.state, out)?;
        }
        self.time_out(watermark.0, &mut ctx.state, out)
    }

    fn late_records(&self) -> u64 {
        self.late
    }

    fn next_wakeup_ms(&self) -> Option<i64> {
        self.next_timeout
    }

    fn on_wakeup(
        &mut self,
        now_ms: i64,
        ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        if self.waiting.is_none() {
            self.time_out(now_ms, &mut ctx.state, out)?;
            self.plan_wakeup(&mut ctx.state);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
