//! Windows of processing time: a row belongs to the windows of the moment it arrives, and
//! they fire when the clock has passed them. Built by `window_aggregate`.
//!
//! To the operator inside, the clock is both the event time of the rows and the watermark.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use model::operator_spec::WindowAggregate;
use model::{Error, Result, Watermark};

use super::window_aggregate;
use crate::operator::{Operator, OperatorContext, Output};
use crate::operators::window_time::Panes;

/// The column that holds a row's time of arrival.
const ARRIVED: &str = "$arrived";

pub(super) fn clock_aggregate(
    spec: &WindowAggregate,
    input: &SchemaRef,
) -> Result<Box<dyn Operator>> {
    let panes = Panes::of(&spec.window)
        .ok_or_else(|| Error::internal("windows of processing time are of a fixed size"))?;
    let mut fields: Vec<FieldRef> = input.fields().to_vec();
    fields.push(Arc::new(Field::new(ARRIVED, DataType::Int64, false)));
    let schema = Arc::new(Schema::new(fields));
    let spec =
        WindowAggregate { time_column: ARRIVED.to_owned(), processing_time: false, ..spec.clone() };
    let inner = window_aggregate(&spec, &schema)?;
    Ok(Box::new(ClockWindows { panes, schema, inner, fired: Watermark::MIN, due: None }))
}

struct ClockWindows {
    panes: Panes,
    schema: SchemaRef,
    inner: Box<dyn Operator>,
    /// Windows that end up to here have fired.
    fired: Watermark,
    /// When the next window ends, if there are rows.
    due: Option<i64>,
}

impl ClockWindows {
    /// Fires what ended before `now_ms`, and works out when to do so next.
    fn fire(&mut self, now_ms: i64, ctx: &mut OperatorContext, out: &mut Output) -> Result<()> {
        let watermark = Watermark(now_ms.saturating_sub(1));
        if watermark > self.fired {
            self.fired = watermark;
            let event_time = std::mem::replace(&mut ctx.watermark, watermark);
            let fired = self.inner.on_watermark(watermark, ctx, out);
            ctx.watermark = event_time;
            fired?;
        }
        self.due = (!ctx.state.is_empty()).then(|| self.panes.next_end(now_ms));
        Ok(())
    }
}

impl Operator for ClockWindows {
    fn open(&mut self, ctx: &mut OperatorContext) -> Result<()> {
        let event_time = std::mem::replace(&mut ctx.watermark, Watermark::MIN);
        let opened = self.inner.open(ctx);
        ctx.watermark = event_time;
        // What was restored may have ended meanwhile.
        self.due = (!ctx.state.is_empty()).then(|| ctx.clock.now_ms());
        opened
    }

    fn process(
        &mut self,
        port: usize,
        batch: RecordBatch,
        ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        let now_ms = ctx.clock.now_ms();
        if self.due.is_some_and(|due| due <= now_ms) {
            self.fire(now_ms, ctx, out)?;
        }
        // A clock that was set back cannot open what has fired.
        let arrived = now_ms.max(self.fired.0.saturating_add(1));
        let times: ArrayRef = Arc::new(Int64Array::from(vec![arrived; batch.num_rows()]));
        let mut columns = batch.columns().to_vec();
        columns.push(times);
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        let event_time = std::mem::replace(&mut ctx.watermark, self.fired);
        let processed = self.inner.process(port, batch, ctx, out);
        ctx.watermark = event_time;
        self.due.get_or_insert(self.panes.next_end(arrived));
        processed
    }

    /// End of input: what is open is all there will be.
    fn finish(&mut self, ctx: &mut OperatorContext, out: &mut Output) -> Result<()> {
        self.fire(i64::MAX, ctx, out)
    }

    fn next_wakeup_ms(&self) -> Option<i64> {
        self.due
    }

    fn on_wakeup(
        &mut self,
        now_ms: i64,
        ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        self.fire(now_ms, ctx, out)
    }
}
