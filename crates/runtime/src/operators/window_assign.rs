//! Rows of windowing table functions: each row once per window that it belongs to. Built by
//! `operators::build`.

use std::sync::Arc;

use arrow::array::{RecordBatch, TimestampMillisecondArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use model::operator_schema::window_assign_schema;
use model::operator_spec::WindowAssign;
use model::{Error, Result, row_kind};

use super::hash_join::OUTPUT_ROWS;
use super::time_column::TimeColumn;
use super::window_time::{Panes, time_range};
use crate::operator::{Operator, OperatorContext, Output};

/// See [`WindowAssign`].
pub struct WindowAssignOperator {
    panes: Panes,
    /// `None`: processing time.
    time: Option<(TimeColumn, String)>,
    output: SchemaRef,
    /// Columns of the input before those that are added.
    width: usize,
}

/// Rows of the input with their windows.
#[derive(Default)]
struct Assigned {
    rows: Vec<u32>,
    starts: Vec<i64>,
    ends: Vec<i64>,
}

impl WindowAssignOperator {
    /// A User error when spec and input do not fit.
    pub fn new(spec: &WindowAssign, input: &SchemaRef) -> Result<Self> {
        let output = window_assign_schema(spec, input)?;
        let panes = Panes::of(&spec.window)
            .ok_or_else(|| Error::internal("windowAssign got windows without a fixed size"))?;
        let time = match &spec.time_column {
            Some(name) => Some((TimeColumn::new(input, name)?, name.clone())),
            None => None,
        };
        let width = input.fields().len() - usize::from(row_kind::is_changelog(input));
        Ok(Self { panes, time, output, width })
    }

    fn emit(&self, batch: &RecordBatch, assigned: Assigned, out: &mut Output) -> Result<()> {
        let Assigned { rows, starts, ends } = assigned;
        let once = rows.len() == batch.num_rows()
            && rows.iter().enumerate().all(|(at, row)| at == *row as usize);
        let rows = UInt32Array::from(rows);
        let mut columns = batch.columns().to_vec();
        if !once {
            for column in &mut columns {
                *column = take(column, &rows, None)?;
            }
        }
        let kind = columns.split_off(self.width);
        let times: Vec<i64> = ends.iter().map(|end| end - 1).collect();
        for bounds in [starts, ends, times] {
            columns.push(Arc::new(TimestampMillisecondArray::from(bounds)));
        }
        columns.extend(kind);
        out.emit(RecordBatch::try_new(Arc::clone(&self.output), columns)?);
        Ok(())
    }
}

impl Operator for WindowAssignOperator {
    fn process(
        &mut self,
        _port: usize,
        batch: RecordBatch,
        ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        let now_ms;
        let times = match &self.time {
            Some((time, name)) => {
                let times = time.millis(&batch)?;
                time_range(&times, name)?;
                times
            }
            None => {
                now_ms = vec![ctx.clock.now_ms(); batch.num_rows()];
                now_ms.as_slice().into()
            }
        };
        let mut assigned = Assigned::default();
        let mut windows = Vec::new();
        let mut of_pane = None;
        for (row, time) in times.iter().enumerate() {
            // Neighbours in a stream mostly share their windows.
            let pane = self.panes.pane_of(*time);
            if of_pane != Some(pane) {
                self.panes.windows_of(pane, &mut windows);
                of_pane = Some(pane);
            }
            if assigned.rows.len() + windows.len() > OUTPUT_ROWS && !assigned.rows.is_empty() {
                self.emit(&batch, std::mem::take(&mut assigned), out)?;
            }
            for (start, end) in &windows {
                assigned.rows.push(row as u32);
                assigned.starts.push(*start);
                assigned.ends.push(*end);
            }
        }
        self.emit(&batch, assigned, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::script::{check, schema};
    use model::operator_spec::Window;

    fn run(window: Window, time: Option<&str>, columns: &str, script: &str) {
        let spec = WindowAssign { time_column: time.map(Into::into), window };
        let input = schema(columns);
        let make = || -> Result<Box<dyn Operator>> {
            Ok(Box::new(WindowAssignOperator::new(&spec, &input)?))
        };
        check(make, std::slice::from_ref(&input), script);
    }

    #[test]
    fn every_row_comes_once_per_window() {
        let hop = Window::Hopping { size_ms: 10_000, slide_ms: 5_000, offset_ms: 0 };
        let script = "
            > a @7s
            > b @10s
            < a @7s @0s @10s @9999ms
            < a @7s @5s @15s @14999ms
            < b @10s @5s @15s @14999ms
            < b @10s @10s @20s @19999ms";
        run(hop, Some("t"), "k STRING, t TIMESTAMP", script);
        let cumulate = Window::Cumulating { step_ms: 2_000, size_ms: 6_000, offset_ms: 0 };
        let script = "
            > +I a @3s
            > -D a @3s
            < +I a @3s @0s @4s @3999ms
            < +I a @3s @0s @6s @5999ms
            < -D a @3s @0s @4s @3999ms
            < -D a @3s @0s @6s @5999ms";
        run(cumulate, Some("t"), "k STRING, t TIMESTAMP, $row_kind", script);
    }

    #[test]
    fn processing_time_is_the_clock() {
        let tumbling = Window::Tumbling { size_ms: 10_000, offset_ms: 0 };
        let script = "
            > wakeup 12s
            > a
            < a @10s @20s @19999ms";
        run(tumbling, None, "k STRING", script);
    }
}
