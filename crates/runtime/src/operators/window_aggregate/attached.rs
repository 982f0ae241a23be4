//! Aggregates over windows that rows bring along in `window_start` and `window_end`: of
//! windowing table functions, and of windows over results of windows. Built by
//! `window_aggregate`.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{Field, SchemaRef};
use model::aggregate::check_window;
use model::key_group::hash_columns;
use model::operator_schema::{column_index, window_bound_type};
use model::operator_spec::{WINDOW_END, WINDOW_START, WindowAggregate};
use model::{Error, Result, Watermark};
use state::TableId;

use super::constant_time;
use super::emit::{BATCH_ROWS, Emitter};
use crate::operator::{Operator, OperatorContext, Output};
use crate::operators::accumulator::{AccumulatorOptions, Accumulators};
use crate::operators::key_columns::KeyColumns;
use crate::operators::row_groups::group_rows;
use crate::operators::time_column::TimeColumn;
use crate::operators::window_time::is_closed;

pub(super) struct AttachedAggregate {
    keys: KeyColumns,
    start: usize,
    end: TimeColumn,
    accumulators: Accumulators,
    emitter: Emitter,
    /// By window end; keys are the keys and the window's start.
    table: Option<TableId>,
    hashes: Vec<u64>,
    slots: Vec<u32>,
    late: u64,
}

impl AttachedAggregate {
    pub(super) fn new(
        spec: &WindowAggregate,
        input: &SchemaRef,
        keys: KeyColumns,
        output: SchemaRef,
    ) -> Result<Self> {
        check_window(&spec.window)?;
        let options = AccumulatorOptions { share: true, ..AccumulatorOptions::default() };
        Ok(Self {
            keys,
            start: column_index(input, WINDOW_START)?,
            end: TimeColumn::new(input, WINDOW_END)?,
            accumulators: Accumulators::new(&spec.aggregates, input, options)?,
            emitter: Emitter::new(output),
            table: None,
            hashes: Vec::new(),
            slots: Vec::new(),
            late: 0,
        })
    }

    fn table(&self) -> Result<TableId> {
        self.table.ok_or_else(|| Error::internal("a window aggregate was not opened"))
    }
}

impl Operator for AttachedAggregate {
    fn open(&mut self, ctx: &mut OperatorContext) -> Result<()> {
        let mut fields = self.keys.fields.clone();
        fields.push(Field::new(WINDOW_START, window_bound_type(), false));
        let types = self.accumulators.value_types();
        self.table = Some(ctx.state.table("windows", &fields, types)?);
        Ok(())
    }

    fn process(
        &mut self,
        _port: usize,
        batch: RecordBatch,
        ctx: &mut OperatorContext,
        _out: &mut Output,
    ) -> Result<()> {
        let ends = self.end.millis(&batch)?;
        hash_columns(&batch, &self.keys.indices, &mut self.hashes)?;
        let mut keys = self.keys.arrays(&batch);
        keys.push(window_bound(batch.column(self.start))?);
        let arguments = self.accumulators.arguments(&batch, Some(ends.as_ref()))?;
        let table = ctx.state.table_mut(self.table()?);
        for (end, rows) in group_rows(ends.iter().map(|end| Some(*end))) {
            if is_closed(end, 0, ctx.watermark) {
                self.late += rows.len() as u64;
                continue;
            }
            let rows = (rows.len() < batch.num_rows()).then_some(rows);
            let pane = table.pane(end)?;
            pane.upsert(&self.hashes, &keys, rows.as_deref(), &mut self.slots)?;
            self.accumulators.update(pane.columns(), &arguments, rows.as_deref(), &self.slots);
        }
        Ok(())
    }

    fn on_watermark(
        &mut self,
        watermark: Watermark,
        ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        let table = ctx.state.table_mut(self.table()?);
        while let Some(end) = table.first_namespace().filter(|end| is_closed(*end, 0, watermark)) {
            let Some(mut pane) = table.take_namespace(end)? else { continue };
            for slots in pane.live_slots().chunks(BATCH_ROWS) {
                // Keys, then the start, as in the output.
                let mut arrays = pane.key_arrays(slots)?;
                arrays.push(constant_time(end, slots.len()));
                arrays.extend(self.accumulators.output(pane.columns(), slots)?);
                self.emitter.batch(arrays, slots.len(), out)?;
            }
        }
        Ok(())
    }

    fn late_records(&self) -> u64 {
        self.late
    }
}

/// A bound of a window in the type that window operators put out.
fn window_bound(column: &ArrayRef) -> Result<ArrayRef> {
    if *column.data_type() == window_bound_type() {
        return Ok(Arc::clone(column));
    }
    Ok(cast(column, &window_bound_type())?)
}
