//! Aggregates per key without a window: a changelog of results that follows the input.
//! Built by `operators::build`.
//!
//! A batch is a mini-batch: each of its keys puts out at most one change, from the result
//! before the batch to the result after it, and none when the two are equal.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt8Array, UInt32Array};
use arrow::compute::kernels::cmp::distinct;
use arrow::compute::{interleave, or, take};
use arrow::datatypes::SchemaRef;
use model::aggregate::keyed_aggregate_schema;
use model::operator_spec::{AggregateStage, KeyedAggregate};
use model::row_kind::{self, RowKind};
use model::{Error, Result};
use state::Pane;

use super::accumulator::{AccumulatorOptions, Accumulators, Arguments};
use super::key_columns::KeyColumns;
use super::keyed_rows::{KeyedRows, Touch};
use super::slot_marks::SlotMarks;
use super::time_column::TimeColumn;
use super::window_aggregate::emit::BATCH_ROWS;
use crate::operator::{Operator, OperatorContext, Output};

mod local;

/// Builds the operator of any stage. A User error when `spec` does not fit `input`.
pub fn keyed_aggregate(spec: &KeyedAggregate, input: &SchemaRef) -> Result<Box<dyn Operator>> {
    let output = keyed_aggregate_schema(spec, input)?;
    if spec.stage == AggregateStage::Local {
        return Ok(Box::new(local::LocalKeyedAggregate::new(spec, input, output)?));
    }
    let retract = row_kind::is_changelog(input.as_ref());
    let global = spec.stage == AggregateStage::Global;
    let accumulators = if global {
        Accumulators::of_partials(&spec.aggregates, input)?
    } else {
        let options = AccumulatorOptions { rows: true, retract, share: true };
        Accumulators::new(&spec.aggregates, input, options)?
    };
    let time = spec.time_column.as_ref().map(|name| TimeColumn::new(input, name)).transpose()?;
    let value_types = accumulators.value_types().to_vec();
    Ok(Box::new(KeyedAggregateOperator {
        keys: KeyColumns::new(input, &spec.keys)?,
        time,
        accumulators,
        global,
        skip_update_before: spec.skip_update_before,
        output,
        rows: KeyedRows::new("groups", value_types, spec.ttl_ms),
        marks: SlotMarks::default(),
    }))
}

struct KeyedAggregateOperator {
    keys: KeyColumns,
    time: Option<TimeColumn>,
    accumulators: Accumulators,
    /// Input rows are partial aggregates.
    global: bool,
    skip_update_before: bool,
    output: SchemaRef,
    rows: KeyedRows,
    marks: SlotMarks,
}

/// The keys of a batch, in order of first appearance.
#[derive(Default)]
struct Touched {
    slots: Vec<u32>,
    /// The first row of each.
    rows: Vec<u32>,
}

/// Results of some keys; `of_key[k]` is the row of key `k`, or `NONE`.
struct Results {
    arrays: Vec<ArrayRef>,
    of_key: Vec<u32>,
}

const NONE: u32 = u32::MAX;

impl Operator for KeyedAggregateOperator {
    fn open(&mut self, ctx: &mut OperatorContext) -> Result<()> {
        self.rows.open(&self.keys.fields, ctx)
    }

    fn process(
        &mut self,
        _port: usize,
        batch: RecordBatch,
        ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        let keys = self.keys.arrays(&batch);
        let (pane, _) = self.rows.look_up(&keys, batch.num_rows(), Touch::Named, ctx)?;
        let touched = self.touched(pane.len());
        let before = self.results(pane, &touched)?;
        if self.global {
            let partials = self.accumulators.partials(&batch)?;
            self.accumulators.merge_partials(pane.columns(), &partials, None, &self.rows.slots)?;
        } else {
            let times = self.time.as_ref().map(|time| time.millis(&batch)).transpose()?;
            let arguments = self.accumulators.arguments(&batch, times.as_deref())?;
            self.apply(pane, &batch, &arguments)?;
        }
        let after = self.results(pane, &touched)?;
        let rows = pane.i64(self.rows_column());
        let gone: Vec<u32> =
            touched.slots.iter().copied().filter(|slot| rows[*slot as usize] <= 0).collect();
        gone.iter().for_each(|slot| pane.remove(*slot));
        self.emit(&keys, &touched, &before, &after, out)
    }

    fn next_wakeup_ms(&self) -> Option<i64> {
        self.rows.next_sweep_ms()
    }

    fn on_wakeup(
        &mut self,
        now_ms: i64,
        ctx: &mut OperatorContext,
        _out: &mut Output,
    ) -> Result<()> {
        self.rows.sweep(now_ms, ctx)
    }
}

impl KeyedAggregateOperator {
    fn rows_column(&self) -> usize {
        self.accumulators.rows_column().expect("keyed aggregates count rows")
    }

    fn touched(&mut self, pane_len: usize) -> Touched {
        let mut touched = Touched::default();
        self.marks.begin(pane_len);
        for (row, &slot) in self.rows.slots.iter().enumerate() {
            if self.marks.get(slot).is_none() {
                self.marks.set(slot, touched.slots.len());
                touched.slots.push(slot);
                touched.rows.push(row as u32);
            }
        }
        self.marks.end(touched.slots.iter().copied());
        touched
    }

    /// The results of those keys that have rows.
    fn results(&self, pane: &mut Pane, touched: &Touched) -> Result<Results> {
        let rows = pane.i64(self.rows_column());
        let (mut present, mut of_key) = (Vec::new(), Vec::with_capacity(touched.slots.len()));
        for slot in &touched.slots {
            if rows[*slot as usize] > 0 {
                of_key.push(present.len() as u32);
                present.push(*slot);
            } else {
                of_key.push(NONE);
            }
        }
        Ok(Results { arrays: self.accumulators.output(pane.columns(), &present)?, of_key })
    }

    /// Adds the batch's additions, then takes its retractions: a row that comes and goes
    /// within the batch must be there when it goes.
    fn apply(&self, pane: &mut Pane, batch: &RecordBatch, arguments: &Arguments<'_>) -> Result<()> {
        let Some(kinds) = row_kind::kinds(batch) else {
            self.accumulators.update(pane.columns(), arguments, None, &self.rows.slots);
            return Ok(());
        };
        let (mut added, mut taken) = (Vec::new(), Vec::new());
        for (row, &kind) in kinds.values().iter().enumerate() {
            let kind = RowKind::from_u8(kind)
                .ok_or_else(|| Error::internal(format!("there is no row kind {kind}")))?;
            if kind.is_addition() { added.push(row as u32) } else { taken.push(row as u32) }
        }
        let slots_of = |rows: &[u32]| -> Vec<u32> {
            rows.iter().map(|row| self.rows.slots[*row as usize]).collect()
        };
        let columns = pane.columns();
        self.accumulators.update(columns, arguments, Some(&added), &slots_of(&added));
        self.accumulators.retract(columns, arguments, Some(&taken), &slots_of(&taken));
        Ok(())
    }

    /// One change per key, where there is any.
    fn emit(
        &self,
        keys: &[ArrayRef],
        touched: &Touched,
        before: &Results,
        after: &Results,
        out: &mut Output,
    ) -> Result<()> {
        let changed = changed(before, after)?;
        let mut changes = Changes::default();
        let mut updated = 0;
        for (key, (&old, &new)) in before.of_key.iter().zip(&after.of_key).enumerate() {
            let row = touched.rows[key];
            match (old != NONE, new != NONE) {
                (true, true) => {
                    // `changed` has one element per key that was there and still is.
                    if changed.as_ref().is_some_and(|changed| changed.value(updated)) {
                        if !self.skip_update_before {
                            changes.push(RowKind::UpdateBefore, row, old);
                        }
                        changes.push(RowKind::UpdateAfter, row, new);
                    }
                    updated += 1;
                }
                (false, true) => changes.push(RowKind::Insert, row, new),
                (true, false) => changes.push(RowKind::Delete, row, old),
                (false, false) => {}
            }
            if changes.rows.len() + 2 > BATCH_ROWS {
                self.emit_changes(keys, std::mem::take(&mut changes), before, after, out)?;
            }
        }
        self.emit_changes(keys, changes, before, after, out)
    }

    fn emit_changes(
        &self,
        keys: &[ArrayRef],
        changes: Changes,
        before: &Results,
        after: &Results,
        out: &mut Output,
    ) -> Result<()> {
        let rows = UInt32Array::from(changes.rows);
        let mut arrays =
            keys.iter().map(|key| Ok(take(key, &rows, None)?)).collect::<Result<Vec<_>>>()?;
        for (before, after) in before.arrays.iter().zip(&after.arrays) {
            arrays.push(interleave(&[before.as_ref(), after.as_ref()], &changes.results)?);
        }
        arrays.push(Arc::new(UInt8Array::from(changes.kinds)));
        out.emit(RecordBatch::try_new(SchemaRef::clone(&self.output), arrays)?);
        Ok(())
    }
}

/// Rows of an output batch.
#[derive(Default)]
struct Changes {
    kinds: Vec<u8>,
    /// Input row with the key.
    rows: Vec<u32>,
    /// 0: before, 1: after; and the row there.
    results: Vec<(usize, usize)>,
}

impl Changes {
    fn push(&mut self, kind: RowKind, row: u32, result: u32) {
        self.kinds.push(kind as u8);
        self.rows.push(row);
        self.results.push((usize::from(kind.is_addition()), result as usize));
    }
}

/// Whether the results differ, for every key with rows both before and after, in order.
/// `None` when there is nothing to compare.
fn changed(before: &Results, after: &Results) -> Result<Option<BooleanArray>> {
    let both: (Vec<u32>, Vec<u32>) = before
        .of_key
        .iter()
        .zip(&after.of_key)
        .filter(|(old, new)| **old != NONE && **new != NONE)
        .unzip();
    let restrict = |array: &ArrayRef, rows: &[u32]| -> Result<ArrayRef> {
        if rows.len() == array.len() {
            return Ok(Arc::clone(array));
        }
        Ok(take(array, &UInt32Array::from(rows.to_vec()), None)?)
    };
    let mut changed: Option<BooleanArray> = None;
    for (old, new) in before.arrays.iter().zip(&after.arrays) {
        let (old, new) = (restrict(old, &both.0)?, restrict(new, &both.1)?);
        let differs = if old.data_type().is_nested() {
            let one = |row: usize| old.slice(row, 1).to_data() != new.slice(row, 1).to_data();
            (0..old.len()).map(|row| Some(one(row))).collect()
        } else {
            distinct(&old, &new)?
        };
        changed = Some(match changed {
            Some(changed) => or(&changed, &differs)?,
            None => differs,
        });
    }
    Ok(changed)
}

#[cfg(test)]
mod tests;
