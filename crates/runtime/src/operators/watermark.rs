//! Makes watermarks from an event time column: bounded out-of-orderness with idleness.
//! Built by `operators::build`; sits right behind a source, or anywhere event time changes.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use model::{Result, Watermark};

use super::time_column::TimeColumn;
use crate::operator::{Operator, OperatorContext, Output};

/// See [`model::operator_spec::OperatorSpec::Watermark`]. The watermark is the greatest
/// time seen minus the delay, exactly (as `WATERMARK FOR t AS t - INTERVAL` in Flink SQL).
///
/// Watermarks from upstream are swallowed, since they speak of another event time; only
/// the one that closes everything passes. `ctx.watermark` holds what was *emitted* here, so
/// that the runtime's snapshot of it brings the generator back.
pub struct WatermarkGenerator {
    time: TimeColumn,
    delay_ms: i64,
    idle_timeout_ms: Option<i64>,
    emitted: Watermark,
    /// Processing time of the last batch (or of the start), ms.
    active_at_ms: i64,
    idle: bool,
}

impl WatermarkGenerator {
    pub fn new(
        column: &str,
        delay_ms: i64,
        idle_timeout_ms: Option<i64>,
        input: &SchemaRef,
    ) -> Result<Self> {
        Ok(Self {
            time: TimeColumn::new(input, column)?,
            delay_ms,
            idle_timeout_ms,
            emitted: Watermark::MIN,
            active_at_ms: 0,
            idle: false,
        })
    }

    fn raise(&mut self, watermark: Watermark, ctx: &mut OperatorContext, out: &mut Output) {
        if watermark > self.emitted {
            self.emitted = watermark;
            out.emit_watermark(watermark);
        }
        ctx.watermark = self.emitted;
    }
}

impl Operator for WatermarkGenerator {
    fn open(&mut self, ctx: &mut OperatorContext) -> Result<()> {
        self.emitted = ctx.watermark;
        self.active_at_ms = ctx.clock.now_ms();
        Ok(())
    }

    fn process(
        &mut self,
        _port: usize,
        batch: RecordBatch,
        ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        let newest = self.time.millis(&batch)?.iter().copied().max();
        if self.idle_timeout_ms.is_some() {
            self.active_at_ms = ctx.clock.now_ms();
            self.idle = false;
        }
        out.emit(batch);
        if let Some(newest) = newest {
            self.raise(Watermark(newest.saturating_sub(self.delay_ms)), ctx, out);
        }
        Ok(())
    }

    fn on_watermark(
        &mut self,
        watermark: Watermark,
        ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        let watermark = if watermark == Watermark::MAX { watermark } else { self.emitted };
        self.raise(watermark, ctx, out);
        Ok(())
    }

    fn forwards_watermarks(&self) -> bool {
        false
    }

    fn next_wakeup_ms(&self) -> Option<i64> {
        let timeout = self.idle_timeout_ms.filter(|_| !self.idle)?;
        Some(self.active_at_ms.saturating_add(timeout))
    }

    fn on_wakeup(
        &mut self,
        now_ms: i64,
        _ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        if self.next_wakeup_ms().is_some_and(|due| due <= now_ms) {
            self.idle = true;
            out.emit_idle();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::script::{check, schema};

    fn generator(delay_ms: i64, idle_timeout_ms: Option<i64>) -> Result<Box<dyn Operator>> {
        let input = schema("k STRING, t TIMESTAMP");
        Ok(Box::new(WatermarkGenerator::new("t", delay_ms, idle_timeout_ms, &input)?))
    }

    #[test]
    fn follows_the_greatest_time_minus_the_delay_and_never_falls() {
        check(
            || generator(2_000, None),
            &[schema("k STRING, t TIMESTAMP")],
            "
            > a @5s
            > b @3s
            < a @5s
            < b @3s
            < watermark 3s
            > c @4s
            < c @4s
            > d @5001ms
            < d @5001ms
            < watermark 3001ms
            > watermark 60s
            > e @6s
            < e @6s
            < watermark 4s
            > end
            < watermark max
            ",
        );
    }

    #[test]
    fn a_restore_brings_the_watermark_back() {
        check(
            || generator(0, None),
            &[schema("k STRING, t TIMESTAMP")],
            "
            > a @5s
            < a @5s
            < watermark 5s
            > watermark 9s
            > restore
            > b @4s
            < b @4s
            > c @6s
            < c @6s
            < watermark 6s
            ",
        );
    }

    #[test]
    fn goes_idle_once_and_wakes_with_a_row() {
        check(
            || generator(0, Some(10_000)),
            &[schema("k STRING, t TIMESTAMP")],
            "
            > wakeup 9s
            > wakeup 10s
            < idle
            > wakeup 30s
            > a @5s
            < a @5s
            < watermark 5s
            > wakeup 39s
            > wakeup 41s
            < idle
            ",
        );
    }
}
