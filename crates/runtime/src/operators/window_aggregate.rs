//! Aggregates over tumbling and hopping windows of event time. Built by `operators::build`.
//!
//! Rows are aggregated once, into the pane of gcd(size, slide) that they fall into; a pane
//! is a namespace of one state table. A window that closes puts out the merge of its panes:
//! for tumbling windows the pane itself, for hopping ones `running` or a scratch table.

mod attached;
mod clock;
pub(super) mod emit;
mod local;
mod running;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampMillisecondArray, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use model::aggregate::window_aggregate_schema;
use model::key_group::hash_columns;
use model::operator_spec::{AggregateStage, PANE, Window, WindowAggregate};
use model::{Error, Result, Watermark};
use state::{Column, NO_SLOT, TableId};

use super::accumulator::{AccumulatorOptions, Accumulators, Arguments, Partials};
use super::derived_table::DerivedTable;
use super::key_columns::KeyColumns;
use super::session;
use super::time_column::TimeColumn;
use super::window_time::{Panes, is_closed, rows_by_pane};
use crate::operator::{Operator, OperatorContext, Output};
use emit::Emitter;
use running::RunningWindow;

/// Builds the operator for any window and stage. A User error when `spec` does not fit `input`.
pub fn window_aggregate(spec: &WindowAggregate, input: &SchemaRef) -> Result<Box<dyn Operator>> {
    let output = window_aggregate_schema(spec, input)?;
    if spec.processing_time {
        return clock::clock_aggregate(spec, input);
    }
    let keys = KeyColumns::new(input, &spec.keys)?;
    if spec.window == Window::Attached {
        return Ok(Box::new(attached::AttachedAggregate::new(spec, input, keys, output)?));
    }
    if let Window::Session { gap_ms } = spec.window {
        return session::session_aggregate(spec, gap_ms, input, output);
    }
    let panes = Panes::of(&spec.window)
        .ok_or_else(|| Error::internal("a session window reached the pane operator"))?;
    if spec.stage == AggregateStage::Local {
        return Ok(Box::new(local::LocalAggregate::new(spec, input, panes, keys, output)?));
    }
    let global = spec.stage == AggregateStage::Global;
    let accumulators = if global {
        Accumulators::of_partials(&spec.aggregates, input)?
    } else {
        let rows = !panes.is_tumbling();
        let options = AccumulatorOptions { rows, ..AccumulatorOptions::default() };
        Accumulators::new(&spec.aggregates, input, options)?
    };
    if !panes.is_tumbling() {
        accumulators.check_mergeable(&spec.aggregates, "hopping")?;
    }
    let time_name = if global { PANE } else { spec.time_column.as_str() };
    let table = DerivedTable::new("merged", &keys, &accumulators)?;
    let runs = panes.cumulates || (!panes.is_tumbling() && accumulators.is_invertible());
    let running = runs.then(|| RunningWindow::new(&keys, &accumulators)).transpose()?;
    Ok(Box::new(WindowAggregateOperator {
        panes,
        lateness: spec.allowed_lateness_ms,
        late_output: spec.late_output,
        global,
        time: TimeColumn::new(input, time_name)?,
        time_name: time_name.to_owned(),
        emitter: Emitter::new(output),
        keys,
        accumulators,
        table: None,
        merged: table,
        running,
        fired: Watermark::MIN,
        late: 0,
        hashes: Vec::new(),
        slots: Vec::new(),
    }))
}

/// What a batch adds to accumulators.
enum BatchInput<'a> {
    Rows(Arguments<'a>),
    Partials(Partials),
}

impl BatchInput<'_> {
    fn apply(
        &self,
        accumulators: &Accumulators,
        columns: &mut [Column],
        rows: Option<&[u32]>,
        slots: &[u32],
    ) -> Result<()> {
        match self {
            Self::Rows(arguments) => accumulators.update(columns, arguments, rows, slots),
            Self::Partials(partials) => {
                accumulators.merge_partials(columns, partials, rows, slots)?;
            }
        }
        Ok(())
    }

    /// How many input rows `rows` stand for.
    fn count(&self, rows: &[u32]) -> u64 {
        match self {
            Self::Rows(_) => rows.len() as u64,
            Self::Partials(partials) => {
                let counts = partials.row_counts();
                rows.iter().map(|row| counts[*row as usize].max(0).unsigned_abs()).sum()
            }
        }
    }
}

/// The rows of a batch that fell into one pane (`None`: all rows).
type PaneRows = (i64, Option<Vec<u32>>);

struct WindowAggregateOperator {
    panes: Panes,
    lateness: i64,
    late_output: bool,
    /// Input rows are partial aggregates.
    global: bool,
    time: TimeColumn,
    time_name: String,
    keys: KeyColumns,
    accumulators: Accumulators,
    emitter: Emitter,
    /// Panes by start.
    table: Option<TableId>,
    /// Scratch: the merge of a window's panes, in namespace 0.
    merged: DerivedTable,
    running: Option<RunningWindow>,
    /// All windows closed at this watermark have fired.
    fired: Watermark,
    late: u64,
    hashes: Vec<u64>,
    slots: Vec<u32>,
}

impl Operator for WindowAggregateOperator {
    fn open(&mut self, ctx: &mut OperatorContext) -> Result<()> {
        let types = self.accumulators.value_types();
        self.table = Some(ctx.state.table("panes", &self.keys.fields, types)?);
        self.fired = ctx.watermark;
        Ok(())
    }

    fn process(
        &mut self,
        _port: usize,
        batch: RecordBatch,
        ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        let times = self.time.millis(&batch)?;
        let groups = rows_by_pane(&self.panes, &times, &self.time_name)?;
        hash_columns(&batch, &self.keys.indices, &mut self.hashes)?;
        let keys = self.keys.arrays(&batch);
        let input = if self.global {
            BatchInput::Partials(self.accumulators.partials(&batch)?)
        } else {
            BatchInput::Rows(self.accumulators.arguments(&batch, Some(times.as_ref()))?)
        };
        let (mut late, mut refire) = (Vec::new(), Vec::new());
        for (pane, rows) in groups {
            if !self.panes.is_in_a_window(pane) {
                continue;
            }
            if is_closed(self.panes.last_end(pane), self.lateness, ctx.watermark) {
                late.extend(rows.unwrap_or_else(|| (0..batch.num_rows() as u32).collect()));
                continue;
            }
            self.add(pane, rows.as_deref(), &keys, &input, ctx)?;
            if self.lateness > 0 && is_closed(self.panes.first_end(pane), 0, ctx.watermark) {
                refire.push((pane, rows));
            }
        }
        if !late.is_empty() {
            self.late += input.count(&late);
            if self.late_output {
                late.sort_unstable();
                out.emit_side(take_record_batch(&batch, &UInt32Array::from(late))?);
            }
        }
        self.refire(&refire, &keys, ctx, out)
    }

    fn on_watermark(
        &mut self,
        watermark: Watermark,
        ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        let fired = std::mem::replace(&mut self.fired, watermark);
        if self.panes.is_tumbling() {
            return self.fire_tumbling((fired, watermark), ctx, out);
        }
        if self.panes.cumulates {
            self.fire_cumulating((fired, watermark), ctx, out)?;
        } else {
            self.fire_hopping((fired, watermark), ctx, out)?;
        }
        let table = ctx.state.table_mut(self.table()?);
        for pane in table.namespaces() {
            if !is_closed(self.panes.last_end(pane), self.lateness, watermark) {
                break;
            }
            table.remove_namespace(pane)?;
        }
        Ok(())
    }

    /// Windows that fire again lie behind the watermark.
    fn watermark_delay_ms(&self) -> i64 {
        self.lateness
    }

    fn late_records(&self) -> u64 {
        self.late
    }
}

impl WindowAggregateOperator {
    fn table(&self) -> Result<TableId> {
        self.table.ok_or_else(|| Error::internal("a window aggregate was not opened"))
    }

    /// Adds rows to their pane, and to the running window when that holds the pane already.
    fn add(
        &mut self,
        pane: i64,
        rows: Option<&[u32]>,
        keys: &[ArrayRef],
        input: &BatchInput<'_>,
        ctx: &mut OperatorContext,
    ) -> Result<()> {
        let state = ctx.state.table_mut(self.table()?).pane(pane)?;
        state.upsert(&self.hashes, keys, rows, &mut self.slots)?;
        input.apply(&self.accumulators, state.columns(), rows, &self.slots)?;
        if let Some(running) = self.running.as_mut().filter(|running| running.holds(pane)) {
            let window = running.groups()?;
            window.upsert(&self.hashes, keys, rows, &mut self.slots)?;
            input.apply(&self.accumulators, window.columns(), rows, &self.slots)?;
        }
        Ok(())
    }

    fn fire_tumbling(
        &mut self,
        (fired, watermark): (Watermark, Watermark),
        ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        let table = ctx.state.table_mut(self.table()?);
        for start in table.namespaces() {
            let end = start + self.panes.size;
            if !is_closed(end, 0, watermark) {
                break;
            }
            let fires = !is_closed(end, 0, fired);
            if is_closed(end, self.lateness, watermark) {
                let pane = table.take_namespace(start)?;
                if let Some(mut pane) = pane.filter(|_| fires) {
                    self.emitter.groups((start, end), &mut pane, &self.accumulators, out)?;
                }
            } else if let Some(pane) = table.load_namespace(start)?.filter(|_| fires) {
                self.emitter.groups((start, end), pane, &self.accumulators, out)?;
            }
        }
        Ok(())
    }

    /// Fires the windows that close between the two watermarks, in order.
    fn fire_hopping(
        &mut self,
        (fired, watermark): (Watermark, Watermark),
        ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        let Panes { size, slide, .. } = self.panes;
        let table = ctx.state.table_mut(self.table()?);
        let panes = table.namespaces();
        let Some(&first_pane) = panes.first() else { return Ok(()) };
        let mut start = self.panes.first_window(first_pane);
        if fired >= Watermark(start) {
            // The first window that `fired` did not close. `fired` is a time here, or nothing
            // is left to fire.
            let open = fired.0.saturating_add(2).saturating_sub(size);
            if open > i64::MAX - size - slide {
                return Ok(());
            }
            start = start.max(self.panes.window_start_from(open));
        }
        while is_closed(start + size, 0, watermark) {
            let low = panes.partition_point(|pane| *pane < start);
            let in_window = &panes[low..panes.partition_point(|pane| *pane < start + size)];
            if in_window.is_empty() {
                let Some(&next) = panes.get(low) else { break };
                start = self.panes.first_window(next).max(start + slide);
                continue;
            }
            let window = (start, start + size);
            match &mut self.running {
                Some(running) => {
                    running.advance(window, in_window, table, &self.accumulators)?;
                    self.emitter.groups(window, running.groups()?, &self.accumulators, out)?;
                    running.leave(start + slide, in_window, table, &self.accumulators)?;
                }
                None => {
                    merge_panes(&mut self.merged, in_window, table, &self.accumulators)?;
                    if let Some(mut groups) = self.merged.table().take_namespace(0)? {
                        self.emitter.groups(window, &mut groups, &self.accumulators, out)?;
                    }
                }
            }
            start += slide;
        }
        self.merged.end_batch()
    }

    /// As [`Self::fire_hopping`]. A window is the one before it and one pane more.
    fn fire_cumulating(
        &mut self,
        (fired, watermark): (Watermark, Watermark),
        ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        let table = ctx.state.table_mut(self.table()?);
        let panes = table.namespaces();
        let running = self
            .running
            .as_mut()
            .ok_or_else(|| Error::internal("cumulating windows are merged as they grow"))?;
        let mut at = 0;
        while at < panes.len() {
            let base = self.panes.base(panes[at]);
            let until = panes.partition_point(|pane| *pane < base + self.panes.size);
            let mut end = self.panes.first_end(panes[at]);
            // Ends that `fired` closed have fired.
            while end < base + self.panes.size && is_closed(end, 0, fired) {
                end += self.panes.slide;
            }
            while end <= base + self.panes.size && is_closed(end, 0, watermark) {
                if !is_closed(end, 0, fired) {
                    let in_window = &panes[at..panes.partition_point(|pane| *pane < end)];
                    running.advance((base, end), in_window, table, &self.accumulators)?;
                    self.emitter.groups((base, end), running.groups()?, &self.accumulators, out)?;
                }
                end += self.panes.slide;
            }
            if !is_closed(base + self.panes.size, 0, watermark) {
                break;
            }
            at = until;
        }
        running.end_batch()
    }

    /// Puts out again, for windows that are closed but may still change, the groups of `touched` rows.
    fn refire(
        &mut self,
        touched: &[PaneRows],
        keys: &[ArrayRef],
        ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        let mut windows = BTreeMap::<i64, Vec<u32>>::new();
        let all: Vec<u32> = (0..self.hashes.len() as u32).collect();
        for (pane, rows) in touched {
            let mut start = self.panes.first_window(*pane);
            while start <= *pane && is_closed(start + self.panes.size, 0, ctx.watermark) {
                if !is_closed(start + self.panes.size, self.lateness, ctx.watermark) {
                    let rows = rows.as_deref().unwrap_or(&all);
                    windows.entry(start).or_default().extend_from_slice(rows);
                }
                start += self.panes.slide;
            }
        }
        let table = ctx.state.table_mut(self.table()?);
        for (start, rows) in windows {
            let window = (start, start + self.panes.size);
            let groups = self.merged.table().pane(0)?;
            groups.upsert(&self.hashes, keys, Some(&rows), &mut self.slots)?;
            let slots = groups.live_slots();
            let (keys, hashes) = (groups.key_arrays(&slots)?, groups.hashes().to_vec());
            for pane in table.namespaces() {
                if pane < window.0 || pane >= window.1 {
                    continue;
                }
                let pane = table.pane(pane)?;
                pane.find(&hashes, &keys, None, &mut self.slots)?;
                let (into, from): (Vec<u32>, Vec<u32>) =
                    slots.iter().zip(&self.slots).filter(|(_, from)| **from != NO_SLOT).unzip();
                let groups = (groups.columns(), &into[..]);
                self.accumulators.merge_groups(groups, (pane.columns(), &from), 1);
            }
            self.emitter.groups(window, groups, &self.accumulators, out)?;
            self.merged.table().remove_namespace(0)?;
        }
        self.merged.end_batch()
    }
}

/// Merges the panes that start at `starts` into namespace 0 of `into`.
fn merge_panes(
    into: &mut DerivedTable,
    starts: &[i64],
    table: &mut state::Table,
    accumulators: &Accumulators,
) -> Result<()> {
    let mut slots = Vec::new();
    for start in starts {
        let Some(pane) = table.load_namespace(*start)? else { continue };
        let groups = into.table().pane(0)?;
        let stored = emit::StoredGroups::of(pane)?;
        groups.upsert(&stored.hashes, &stored.keys, None, &mut slots)?;
        let from = (&*pane.columns(), stored.slots.as_slice());
        accumulators.merge_groups((groups.columns(), &slots), from, 1);
    }
    Ok(())
}

/// `window_start` or `window_end` for `rows` rows.
pub(super) fn constant_time(ms: i64, rows: usize) -> ArrayRef {
    Arc::new(TimestampMillisecondArray::from(vec![ms; rows]))
}

#[cfg(test)]
mod cold_tests;
#[cfg(test)]
mod tests;
