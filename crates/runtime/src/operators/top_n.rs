//! The first rows per key in a given order. Built by `operators::build`.
//!
//! Rows that are only inserted: a key's state is its first `n` rows. A changelog: all rows
//! are kept, since a deletion promotes the next one. A batch counts as one step: a key
//! whose ranking changed several times within a batch puts out the difference once.

use std::sync::Arc;

use arrow::array::{ArrayRef, NullArray, RecordBatch, UInt8Array};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, SchemaRef};
use arrow::row::{RowConverter, SortField};
use model::operator_schema::{column_index, key_indices, top_n_schema};
use model::operator_spec::{TopN, WINDOW_END, WINDOW_START};
use model::{Error, Result, Watermark, key_group, row_kind};
use state::{Pane, TableId, ValueType};

use super::encoded_rows::{ChangelogRows, RowCodec, RowSource};
use super::ranked_rows::RankedRows;
use super::ranking::{RankedBatch, Ranker};
use super::row_groups::group_rows;
use super::time_column::TimeColumn;
use super::ttl::{self, TimeToLive};
use crate::operator::{Operator, OperatorContext, Output};

/// See [`TopN`].
pub struct TopNOperator {
    input: SchemaRef,
    output: SchemaRef,
    /// What rows are hashed by: the keys, as the exchange does.
    keys: Vec<usize>,
    /// Key columns of the state: the keys and, per window, its start.
    state_keys: Vec<usize>,
    sort_columns: Vec<usize>,
    sort: RowConverter,
    ranker: Ranker,
    with_rank: bool,
    ttl: Option<TimeToLive>,
    value_types: Vec<ValueType>,
    /// The end of the row's window, when the ranking is per window.
    window_end: Option<TimeColumn>,
    table: Option<TableId>,
    hashes: Vec<u64>,
    late: u64,
}

impl TopNOperator {
    /// A User error when spec and input do not fit.
    pub fn new(spec: &TopN, input: &SchemaRef) -> Result<Self> {
        let output = top_n_schema(spec, input)?;
        let changelog = row_kind::is_changelog(input);
        let keys = key_indices(input, &spec.keys)?;
        let mut state_keys = keys.clone();
        let mut window_end = None;
        if spec.per_window {
            let start = column_index(input, WINDOW_START)?;
            if !state_keys.contains(&start) {
                state_keys.push(start);
            }
            window_end = Some(TimeColumn::new(input, WINDOW_END)?);
        }
        let mut sort_columns = Vec::new();
        let mut sort_fields = Vec::new();
        for order in &spec.order_by {
            let index = column_index(input, &order.column)?;
            sort_columns.push(index);
            // NULL sorts as the smallest value, as in Flink.
            let options =
                SortOptions { descending: order.descending, nulls_first: !order.descending };
            let data_type = input.field(index).data_type().clone();
            sort_fields.push(SortField::new_with_options(data_type, options));
        }
        if sort_fields.is_empty() {
            sort_fields.push(SortField::new(DataType::Null));
        }
        let width = input.fields().len() - usize::from(changelog);
        let mut value_types = vec![ValueType::Bytes];
        let ttl_ms = spec.ttl_ms.filter(|_| !spec.per_window);
        let ttl = TimeToLive::new(ttl_ms, &mut value_types);
        Ok(Self {
            input: Arc::clone(input),
            output,
            keys,
            state_keys,
            sort_columns,
            sort: RowConverter::new(sort_fields)?,
            ranker: Ranker::new(RowCodec::new(&input.fields()[..width])?, spec, changelog),
            with_rank: spec.rank_column.is_some(),
            ttl,
            value_types,
            window_end,
            table: None,
            hashes: Vec::new(),
            late: 0,
        })
    }

    fn table(&self) -> Result<TableId> {
        self.table.ok_or_else(|| Error::internal("a topN was not opened"))
    }

    /// The final ranking of one window.
    fn emit_window(&self, pane: &mut Pane, out: &mut Output) -> Result<()> {
        let mut rows: Vec<(Box<[u8]>, usize)> = Vec::new();
        for slot in pane.live_slots() {
            let Some(bytes) = &pane.bytes(0)[slot as usize] else { continue };
            let list = RankedRows::parse(bytes)?;
            for (at, rank) in self.ranker.placed(list) {
                rows.push((list.row(at).into(), rank));
            }
        }
        for chunk in rows.chunks(super::hash_join::OUTPUT_ROWS) {
            let columns = self.ranker.codec().decode(chunk.iter().map(|(row, _)| row.as_ref()))?;
            let mut changes = ChangelogRows::default();
            for (index, (_, rank)) in chunk.iter().enumerate() {
                changes.push(row_kind::RowKind::Insert, RowSource::State(index), *rank);
            }
            changes.emit(&self.output, &columns, &[], self.with_rank, out)?;
        }
        Ok(())
    }
}

impl Operator for TopNOperator {
    fn open(&mut self, ctx: &mut OperatorContext) -> Result<()> {
        let fields: Vec<Field> =
            self.state_keys.iter().map(|key| self.input.field(*key).clone()).collect();
        self.table = Some(ctx.state.table("ranking", &fields, &self.value_types)?);
        Ok(())
    }

    fn process(
        &mut self,
        _port: usize,
        batch: RecordBatch,
        ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        let now_ms = ctx.clock.now_ms();
        let table = ctx.state.table_mut(self.table()?);
        key_group::hash_columns(&batch, &self.keys, &mut self.hashes)?;
        let column = |index: &usize| Arc::clone(batch.column(*index));
        let keys: Vec<ArrayRef> = self.state_keys.iter().map(column).collect();
        let sort_columns: Vec<ArrayRef> = self.sort_columns.iter().map(column).collect();
        let sort_keys = if sort_columns.is_empty() {
            // By arrival: all rows are equal in order.
            let none: ArrayRef = Arc::new(NullArray::new(batch.num_rows()));
            self.sort.convert_columns(&[none])?
        } else {
            self.sort.convert_columns(&sort_columns)?
        };
        let kinds: Option<&UInt8Array> = row_kind::kinds(&batch);
        let ranked = RankedBatch::new(&batch, &sort_keys, kinds, &self.ranker)?;
        let mut slots = Vec::new();
        let Some(window_end) = &self.window_end else {
            let pane = table.pane(0)?;
            if let Some(ttl) = &mut self.ttl {
                ttl.sweep(pane, now_ms)?;
            }
            pane.upsert(&self.hashes, &keys, None, &mut slots)?;
            if let Some(ttl) = &mut self.ttl {
                ttl.touch(pane, &slots, now_ms);
            }
            let changed = self.ranker.apply(&ranked, None, &slots, pane)?;
            let new_rows = self.ranker.new_rows(&ranked, &changed)?;
            let changes = self.ranker.changes(&new_rows, &changed, self.with_rank)?;
            self.ranker.write(&ranked, &new_rows, &changed, pane)?;
            return changes.emit(&self.output, self.with_rank, out);
        };
        let horizon = ctx.watermark.0.saturating_add(1);
        for (end, rows) in group_rows(window_end.millis(&batch)?.iter().map(|end| Some(*end))) {
            if end <= horizon {
                self.late += rows.len() as u64;
                continue;
            }
            let pane = table.pane(end)?;
            pane.upsert(&self.hashes, &keys, Some(&rows), &mut slots)?;
            let changed = self.ranker.apply(&ranked, Some(&rows), &slots, pane)?;
            let new_rows = self.ranker.new_rows(&ranked, &changed)?;
            self.ranker.write(&ranked, &new_rows, &changed, pane)?;
        }
        Ok(())
    }

    fn on_watermark(
        &mut self,
        watermark: Watermark,
        ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        if self.window_end.is_none() {
            return Ok(());
        }
        let horizon = watermark.0.saturating_add(1);
        let table = ctx.state.table_mut(self.table()?);
        while let Some(end) = table.first_namespace().filter(|end| *end <= horizon) {
            if let Some(mut pane) = table.take_namespace(end)? {
                self.emit_window(&mut pane, out)?;
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
