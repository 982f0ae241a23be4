//! Makes watermarks from an event time column: bounded out-of-orderness with idleness.
//! In the chain of a source it keeps a watermark per split (`source_progress.rs`) and says
//! how far the source is, for watermark alignment. Built by `operators::build`; sits right behind a source, or anywhere event time changes.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use model::{Result, Watermark};

use super::time_column::TimeColumn;
use crate::operator::{Operator, OperatorContext, Output};
use crate::source_progress::{Silence, SourceProgress};

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
    /// The source in front, when this is the first watermark operator of its chain.
    source: Option<Arc<SourceProgress>>,
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
            source: None,
        })
    }

    fn raise(&mut self, watermark: Watermark, ctx: &mut OperatorContext, out: &mut Output) {
        if watermark > self.emitted {
            self.emitted = watermark;
            out.emit_watermark(watermark);
        }
        ctx.watermark = self.emitted;
        if let Some(source) = &self.source {
            source.publish(self.emitted);
        }
    }

    fn become_idle(&mut self, out: &mut Output) {
        if !std::mem::replace(&mut self.idle, true) {
            out.emit_idle();
        }
        if let Some(source) = &self.source {
            source.publish_idle();
        }
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
        let Some(newest) = newest else { return Ok(()) };
        let of_rows = Watermark(newest.saturating_sub(self.delay_ms));
        let watermark = match &self.source {
            Some(source) => source.rows(of_rows, ctx.clock.now_ms()),
            None => Some(of_rows),
        };
        if let Some(watermark) = watermark {
            self.raise(watermark, ctx, out);
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

    fn follow(&mut self, source: Arc<SourceProgress>) {
        self.source = Some(source);
    }

    fn next_wakeup_ms(&self) -> Option<i64> {
        if let Some(source) = &self.source {
            return source.next_wakeup_ms(self.idle_timeout_ms);
        }
        let timeout = self.idle_timeout_ms.filter(|_| !self.idle)?;
        Some(self.active_at_ms.saturating_add(timeout))
    }

    fn on_wakeup(
        &mut self,
        now_ms: i64,
        ctx: &mut OperatorContext,
        out: &mut Output,
    ) -> Result<()> {
        match self.source.as_ref().map(|s| s.silence(now_ms, self.idle_timeout_ms)) {
            Some(Silence::Partly(Some(watermark))) => self.raise(watermark, ctx, out),
            Some(Silence::Partly(None)) => {}
            Some(Silence::Idle) => self.become_idle(out),
            None => {
                if self.next_wakeup_ms().is_some_and(|due| due <= now_ms) {
                    self.become_idle(out);
                }
            }
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
