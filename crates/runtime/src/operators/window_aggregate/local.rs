//! The first of two stages: combines rows of one pane and key before the exchange, so
//! that hot keys cross it once. Holds a bounded number of groups, outside of state.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use model::key_group::hash_columns;
use model::operator_spec::WindowAggregate;
use model::{Result, Watermark};

use super::emit::{BATCH_ROWS, Emitter};
use crate::operator::{Operator, OperatorContext, Output};
use crate::operators::accumulator::{AccumulatorOptions, Accumulators};
use crate::operators::derived_table::DerivedTable;
use crate::operators::key_columns::KeyColumns;
use crate::operators::time_column::TimeColumn;
use crate::operators::window_time::{Panes, is_closed, rows_by_pane};

/// Groups held back at most: their table stays in the second-level cache.
const MAX_GROUPS: usize = 32 << 10;

pub(super) struct LocalAggregate {
    panes: Panes,
    time: TimeColumn,
    time_name: String,
    keys: KeyColumns,
    accumulators: Accumulators,
    emitter: Emitter,
    /// Panes by start.
    groups: DerivedTable,
    held: usize,
    hashes: Vec<u64>,
    slots: Vec<u32>,
}

impl LocalAggregate {
    pub(super) fn new(
        spec: &WindowAggregate,
        input: &SchemaRef,
        panes: Panes,
        keys: KeyColumns,
        output: SchemaRef,
    ) -> Result<Self> {
        let options = AccumulatorOptions { rows: true, ..AccumulatorOptions::default() };
        let accumulators = Accumulators::new(&spec.aggregates, input, options)?;
        Ok(Self {
            panes,
            time: TimeColumn::new(input, &spec.time_column)?,
            time_name: spec.time_column.clone(),
            groups: DerivedTable::new("local", &keys, &accumulators)?,
            keys,
            accumulators,
            emitter: Emitter::new(output),
            held: 0,
            hashes: Vec::new(),
            slots: Vec::new(),
        })
    }

    /// Puts out the panes that start in `starts`.
    fn emit(&mut self, starts: &[i64], out: &mut Output) -> Result<()> {
        for start in starts {
            let Some(mut pane) = self.groups.table().take_namespace(*start)? else { continue };
            self.held = self.held.saturating_sub(pane.live());
            for slots in pane.live_slots().chunks(BATCH_ROWS) {
                let mut arrays = pane.key_arrays(slots)?;
                let start: ArrayRef = Arc::new(Int64Array::from(vec![*start; slots.len()]));
                arrays.push(start);
                arrays.extend(self.accumulators.partial_output(pane.columns(), slots)?);
                self.emitter.batch(arrays, slots.len(), out)?;
            }
        }
        Ok(())
    }

    fn emit_all(&mut self, out: &mut Output) -> Result<()> {
        let starts = self.groups.table().namespaces();
        self.emit(&starts, out)
    }
}

impl Operator for LocalAggregate {
    fn process(
        &mut self,
        _port: usize,
        batch: RecordBatch,
        _ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        let times = self.time.millis(&batch)?;
        let groups = rows_by_pane(&self.panes, &times, &self.time_name)?;
        hash_columns(&batch, &self.keys.indices, &mut self.hashes)?;
        let keys = self.keys.arrays(&batch);
        let arguments = self.accumulators.arguments(&batch, Some(times.as_ref()))?;
        for (pane, rows) in groups {
            if !self.panes.is_in_a_window(pane) {
                continue;
            }
            let pane = self.groups.table().pane(pane)?;
            let rows = rows.as_deref();
            self.held += pane.upsert(&self.hashes, &keys, rows, &mut self.slots)?;
            self.accumulators.update(pane.columns(), &arguments, rows, &self.slots);
        }
        if self.held > MAX_GROUPS { self.emit_all(out) } else { self.groups.end_batch() }
    }

    /// Only what the second stage would take for late must not stay behind the watermark:
    /// panes of windows that it closes.
    fn on_watermark(
        &mut self,
        watermark: Watermark,
        _ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        let mut starts = self.groups.table().namespaces();
        starts.retain(|pane| is_closed(self.panes.first_end(*pane), 0, watermark));
        self.emit(&starts, out)
    }

    fn flush(&mut self, _ctx: &mut OperatorContext, out: &mut Output) -> Result<()> {
        self.emit_all(out)
    }
}
