//! Each left row with the version of the right row that is valid at its time. Built by
//! `operators::build`.
//!
//! In event time left rows wait in a log, whose namespaces are spans of a second, until the
//! watermark has passed them: then all versions of their time are there. In processing time
//! they are joined as they come.

mod versions;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{take, take_record_batch};
use arrow::datatypes::{Field, SchemaRef};
use model::expression::{Expression, Expressions};
use model::key_group::hash_columns;
use model::operator_schema::{key_indices, pair_schema, temporal_join_schema};
use model::operator_spec::{JoinType, TemporalJoin};
use model::{Error, Result, Watermark, row_kind};
use state::{NO_SLOT, StateStore, TableId, ValueType};

use super::encoded_rows::RowCodec;
use super::hash_join::OUTPUT_ROWS;
use super::time_column::TimeColumn;
use super::ttl::{self, TimeToLive};
use super::waiting_rows::WaitingRows;
use crate::operator::{Operator, OperatorContext, Output};
use versions::{NewVersions, version_at};

/// See [`TemporalJoin`].
pub struct TemporalJoinOperator {
    right: SchemaRef,
    output: SchemaRef,
    left_keys: Vec<usize>,
    right_keys: Vec<usize>,
    left_width: usize,
    /// Left rows, and the right side's time; `None`: processing time.
    event_time: Option<(WaitingRows, TimeColumn)>,
    outer: bool,
    predicate: Option<(Box<dyn Expression>, SchemaRef)>,
    codec: RowCodec,
    value_types: Vec<ValueType>,
    ttl: Option<TimeToLive>,
    table: Option<TableId>,
    hashes: Vec<u64>,
    slots: Vec<u32>,
}

impl TemporalJoinOperator {
    /// A User error when spec and inputs do not fit.
    pub fn new(
        spec: &TemporalJoin,
        left: &SchemaRef,
        right: &SchemaRef,
        expressions: &dyn Expressions,
    ) -> Result<Self> {
        let output = temporal_join_schema(spec, left, right)?;
        let left_keys = key_indices(left, &spec.left_keys)?;
        let event_time = match (&spec.left_time, &spec.right_time) {
            (Some(a), Some(b)) => {
                let time = (TimeColumn::new(left, a)?, "left time");
                let waiting = WaitingRows::new("left", left, &left_keys, time);
                Some((waiting, TimeColumn::new(right, b)?))
            }
            _ => None,
        };
        let predicate = match &spec.predicate {
            None => None,
            Some(text) => {
                let pair = pair_schema(left, right, &spec.right_prefix)?;
                Some((expressions.compile(text, &pair)?, pair))
            }
        };
        let right_width = right.fields().len() - usize::from(row_kind::is_changelog(right));
        let mut value_types = vec![ValueType::Bytes];
        let ttl = TimeToLive::new(spec.ttl_ms, &mut value_types);
        Ok(Self {
            right: Arc::clone(right),
            output,
            left_keys,
            right_keys: key_indices(right, &spec.right_keys)?,
            left_width: left.fields().len() - usize::from(row_kind::is_changelog(left)),
            event_time,
            outer: spec.join_type == JoinType::Left,
            predicate,
            codec: RowCodec::new(&right.fields()[..right_width])?,
            value_types,
            ttl,
            table: None,
            hashes: Vec::new(),
            slots: Vec::new(),
        })
    }

    fn table(&self) -> Result<TableId> {
        self.table.ok_or_else(not_opened)
    }

    fn keep_versions(&mut self, batch: &RecordBatch, ctx: &mut OperatorContext) -> Result<()> {
        let now_ms = ctx.clock.now_ms();
        hash_columns(batch, &self.right_keys, &mut self.hashes)?;
        let keys = columns(batch, &self.right_keys);
        let times = self.event_time.as_ref().map(|(_, right)| right.millis(batch)).transpose()?;
        let watermark = ctx.watermark.0;
        let pane = ctx.state.table_mut(self.table()?).pane(0)?;
        if let Some(ttl) = &mut self.ttl {
            ttl.sweep(pane, now_ms)?;
        }
        pane.upsert(&self.hashes, &keys, None, &mut self.slots)?;
        if let Some(ttl) = &mut self.ttl {
            ttl.touch(pane, &self.slots, now_ms);
        }
        let new = NewVersions { batch, times: times.as_deref(), watermark };
        new.write(&self.codec, &self.slots, pane)
    }

    /// Joins left rows, of which `times` says when.
    fn join(
        &mut self,
        batch: &RecordBatch,
        times: &[i64],
        state: &mut StateStore,
        out: &mut Output,
    ) -> Result<()> {
        for from in (0..batch.num_rows()).step_by(OUTPUT_ROWS) {
            let rows = OUTPUT_ROWS.min(batch.num_rows() - from);
            self.join_part(&batch.slice(from, rows), &times[from..from + rows], state, out)?;
        }
        Ok(())
    }

    fn join_part(
        &mut self,
        batch: &RecordBatch,
        times: &[i64],
        state: &mut StateStore,
        out: &mut Output,
    ) -> Result<()> {
        hash_columns(batch, &self.left_keys, &mut self.hashes)?;
        let keys = columns(batch, &self.left_keys);
        let pane = state.table_mut(self.table()?).pane(0)?;
        pane.find(&self.hashes, &keys, None, &mut self.slots)?;
        let lists = pane.bytes(0);
        let mut found: Vec<&[u8]> = Vec::new();
        let mut matched: Vec<u32> = Vec::new();
        for (row, (slot, time)) in self.slots.iter().zip(times).enumerate() {
            // NULL equals nothing, not even NULL.
            if *slot == NO_SLOT || keys.iter().any(|key| key.is_null(row)) {
                continue;
            }
            if let Some(version) = version_at(lists[*slot as usize].as_deref(), *time)? {
                found.push(version);
                matched.push(row as u32);
            }
        }
        let mut right = self.codec.decode(found)?;
        if let Some(kept) = self.matching(batch, &matched, &right)? {
            let mut at = 0;
            matched.retain(|_| {
                at += 1;
                kept.value(at - 1)
            });
            for column in &mut right {
                *column = arrow::compute::filter(column, &kept)?;
            }
        }
        self.emit(batch, &matched, right, out)
    }

    /// For which pairs the condition is true; `None` without one.
    fn matching(
        &self,
        batch: &RecordBatch,
        matched: &[u32],
        right: &[ArrayRef],
    ) -> Result<Option<BooleanArray>> {
        let Some((predicate, schema)) = self.predicate.as_ref().filter(|_| !matched.is_empty())
        else {
            return Ok(None);
        };
        let rows = UInt32Array::from(matched.to_vec());
        let mut pair = Vec::with_capacity(schema.fields().len());
        for column in &batch.columns()[..self.left_width] {
            pair.push(take(column, &rows, None)?);
        }
        pair.extend(right.iter().cloned());
        let condition = predicate.evaluate(&RecordBatch::try_new(Arc::clone(schema), pair)?)?;
        let condition = condition
            .as_boolean_opt()
            .ok_or_else(|| Error::internal("a join condition is no BOOLEAN"))?;
        Ok(Some(condition.iter().map(|c| Some(c == Some(true))).collect()))
    }

    fn emit(
        &self,
        batch: &RecordBatch,
        matched: &[u32],
        right: Vec<ArrayRef>,
        out: &mut Output,
    ) -> Result<()> {
        let (left, right) = if self.outer {
            let mut of_row: Vec<Option<u32>> = vec![None; batch.num_rows()];
            for (at, row) in matched.iter().enumerate() {
                of_row[*row as usize] = Some(at as u32);
            }
            let indices = UInt32Array::from(of_row);
            let taken: Vec<ArrayRef> =
                right.iter().map(|c| Ok(take(c, &indices, None)?)).collect::<Result<_>>()?;
            (batch.clone(), taken)
        } else {
            (take_record_batch(batch, &UInt32Array::from(matched.to_vec()))?, right)
        };
        let mut columns = left.columns()[..self.left_width].to_vec();
        columns.extend(right);
        columns.extend(left.columns()[self.left_width..].iter().cloned());
        out.emit(RecordBatch::try_new(Arc::clone(&self.output), columns)?);
        Ok(())
    }
}

fn not_opened() -> Error {
    Error::internal("a temporalJoin was not opened")
}

fn columns(batch: &RecordBatch, indices: &[usize]) -> Vec<ArrayRef> {
    indices.iter().map(|index| Arc::clone(batch.column(*index))).collect()
}

impl Operator for TemporalJoinOperator {
    fn open(&mut self, ctx: &mut OperatorContext) -> Result<()> {
        let fields: Vec<Field> =
            self.right_keys.iter().map(|key| self.right.field(*key).clone()).collect();
        self.table = Some(ctx.state.table("versions", &fields, &self.value_types)?);
        match &mut self.event_time {
            Some((waiting, _)) => waiting.open(&mut ctx.state),
            None => Ok(()),
        }
    }

    fn process(
        &mut self,
        port: usize,
        batch: RecordBatch,
        ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        if port == 1 {
            return self.keep_versions(&batch, ctx);
        }
        let Some((waiting, _)) = &mut self.event_time else {
            let any_time = vec![i64::MAX; batch.num_rows()];
            return self.join(&batch, &any_time, &mut ctx.state, out);
        };
        // Late rows find the versions that are still there.
        waiting.add(&batch, Watermark::MIN, &mut ctx.state).map(drop)
    }

    fn on_watermark(
        &mut self,
        watermark: Watermark,
        ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        let Some((waiting, _)) = &self.event_time else { return Ok(()) };
        for span in waiting.spans(watermark, &mut ctx.state)? {
            let Some((waiting, _)) = &mut self.event_time else { break };
            if let Some((rows, times)) = waiting.take_sorted(span, watermark, &mut ctx.state)? {
                self.join(&rows, &times, &mut ctx.state, out)?;
            }
        }
        Ok(())
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
